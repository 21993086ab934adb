package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/minio/minio-go/v7"
	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// imageSite is a cluster with a registry, and a location whose bucket is empty.
// Its actions copy images.
type imageSite struct {
	site
	registry  *openshift.Registry
	minio     *stack.MinIO
	bucket    string
	velero    string // namespace
	namespace string // of image streams
}

// newImageSite returns a site whose settings are the defaults but for those.
func newImageSite(t *testing.T, change func(*rest.Config), values map[string]string) imageSite {
	t.Helper()
	openShift(t)
	s := imageSite{site: newSite(t, change), minio: servers.MinIO(t)}
	s.defineVelero()
	s.bucket, s.velero, s.namespace = s.minio.NewBucket(t), s.cluster.NewNamespace(t), s.cluster.NewNamespace(t)
	s.registry = s.newRegistry(servers.Registry(t))
	if err := s.registry.PublishCA(t.Context(), s.velero); err != nil {
		t.Fatal(err)
	}
	s.location("default")
	s.secret("cloud", fmt.Sprintf("key: %q", s.credential()))
	s.set(values)
	return s
}

// set makes the settings the defaults but for images, which are on, and those.
func (s *imageSite) set(values map[string]string) {
	all := map[string]string{settings.Images: "true"}
	maps.Copy(all, values)
	s.actions.settings = func() (config.Values, error) { return settings.Keys.Parse(all) }
}

func (s *imageSite) newRegistry(backend *stack.Registry) *openshift.Registry {
	s.t.Helper()
	r, err := openshift.StartRegistry(s.cluster, backend)
	s.must(err)
	s.t.Cleanup(r.Close)
	return r
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// defineVelero defines the kinds of Velero that the actions read.
func (s *imageSite) defineVelero() {
	s.t.Helper()
	for _, kind := range []string{"Backup", "BackupStorageLocation"} {
		plural := strings.ToLower(kind) + "s"
		definition := fieldstest.Object(s.t, fmt.Sprintf(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %[2]s.velero.io}, spec: {
group: velero.io, scope: Namespaced, names: {plural: %[2]s, kind: %[1]s, listKind: %[1]sList},
versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`, kind, plural))
		_, err := s.cluster.Dynamic.Resource(definitions).Apply(s.t.Context(), definition.GetName(), definition, metav1.ApplyOptions{FieldManager: "test", Force: true})
		s.must(err)
		resource := schema.GroupVersionResource{Group: "velero.io", Version: "v1", Resource: plural}
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		defer cancel()
		s.must(stack.Await(ctx, func() error {
			_, err := s.cluster.Dynamic.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
			return err
		}))
	}
}

// credential is what the secret of locations holds.
func (s *imageSite) credential() []byte { return s.minio.S3Location("", "").Credential }

// location makes a location with a credential of its own. Changes are parts of
// it with others in their place: OLD => NEW.
func (s *imageSite) location(name string, changes ...string) {
	s.t.Helper()
	text := fmt.Sprintf(`{apiVersion: velero.io/v1, kind: BackupStorageLocation, metadata: {name: %s, namespace: %s}, spec: {
provider: aws, objectStorage: {bucket: %s, prefix: velero}, credential: {name: cloud, key: key},
config: {region: %s, s3Url: %q, s3ForcePathStyle: "true"}}}`, name, s.velero, s.bucket, stack.Region, s.minio.Endpoint)
	for _, change := range changes {
		from, to, _ := strings.Cut(change, " => ")
		if !strings.Contains(text, from) {
			s.t.Fatalf("nothing to change: %s", from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	s.create(text)
}

func (s *imageSite) secret(name, data string) {
	s.t.Helper()
	s.create(fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: %s}, stringData: {%s}}", name, s.velero, data))
}

// backup returns a Backup of the site, which is in the cluster as well.
func (s *imageSite) backup(name string, metadata ...string) string {
	s.t.Helper()
	return s.backupAt("default", name, metadata...)
}

func (s *imageSite) backupAt(location, name string, metadata ...string) string {
	s.t.Helper()
	text := fmt.Sprintf("{apiVersion: velero.io/v1, kind: Backup, metadata: {name: %s, namespace: %s%s}, spec: {storageLocation: %s}}",
		name, s.velero, strings.Join(metadata, ""), location)
	made := s.create(text)[0]
	return fieldstest.YAML(s.t, made)
}

// restore returns a Restore from a backup.
func (s *imageSite) restore(name, backup, spec string) string {
	return fmt.Sprintf("{metadata: {name: %s, namespace: %s, uid: %s-%s}, spec: {backupName: %s%s}}", name, s.velero, s.velero, name, backup, spec)
}

// image makes an image whose content follows from a seed.
func (s *imageSite) image(seed uint64) v1.Image {
	s.t.Helper()
	var layers []v1.Layer
	for i := range uint64(2) {
		layer, err := sampleimage.Layer(seed+i, 50_000)
		s.must(err)
		layers = append(layers, layer)
	}
	image, err := sampleimage.Docker().Image(layers...)
	s.must(err)
	return image
}

// push pushes an image or index to STREAM:TAG of the site's namespace and returns
// its digest.
func (s *imageSite) push(to string, what remote.Taggable) string {
	s.t.Helper()
	reference, err := name.ParseReference(s.registry.Host + "/" + s.namespace + "/" + to)
	s.must(err)
	options := s.registry.Remote(s.cluster.Config.BearerToken)
	switch pushed := what.(type) {
	case v1.Image:
		s.must(remote.Write(reference, pushed, options...))
		return s.digest(pushed)
	case v1.ImageIndex:
		s.must(remote.WriteIndex(reference, pushed, options...))
		return s.digest(pushed)
	}
	s.t.Fatalf("%T cannot be pushed", what)
	return ""
}

func (s *imageSite) digest(of interface{ Digest() (v1.Hash, error) }) string {
	s.t.Helper()
	d, err := of.Digest()
	s.must(err)
	return d.String()
}

// pull returns an image of a registry, by the digest that it has.
func (s *imageSite) pull(from *openshift.Registry, repository, digest string) (*remote.Descriptor, error) {
	s.t.Helper()
	reference, err := name.ParseReference(from.Host + "/" + repository + "@" + digest)
	s.must(err)
	return remote.Get(reference, from.Remote(s.cluster.Config.BearerToken)...)
}

// stream returns an image stream as an item of a backup, stamped as it is then.
func (s *imageSite) stream(namespace, streamName string) *unstructured.Unstructured {
	s.t.Helper()
	found, err := s.cluster.Dynamic.Resource(api.ImageStreams).Namespace(namespace).Get(s.t.Context(), streamName, metav1.GetOptions{})
	s.must(err)
	fields.Annotate(found, api.BackupRegistryHostKey, s.registry.Host)
	return found
}

// backUpStream runs the backup action with a stream of the site.
func (s *imageSite) backUpStream(streamName, backup string) (*unstructured.Unstructured, error) {
	s.t.Helper()
	item := s.stream(s.namespace, streamName)
	_, err := find[sdk.BackupItemAction](s.t, s.actions, "19-is-backup").Backup(s.t.Context(), sdk.BackupInput{Item: item, Backup: sdk.NewBackup(fieldstest.JSON(s.t, backup))})
	return item, err
}

// restoreStream runs the restore action for what a backup has of a stream, with
// the registry of the cluster that is restored to.
func (s *imageSite) restoreStream(backedUp *unstructured.Unstructured, to *openshift.Registry, restore string) (sdk.RestoreResult, error) {
	s.t.Helper()
	raw, err := backedUp.MarshalJSON()
	s.must(err)
	item := backedUp.DeepCopy()
	delete(item.Object, "status") // as Velero does
	fields.Annotate(item, api.RestoreRegistryHostKey, to.Host)
	return find[sdk.RestoreItemAction](s.t, s.actions, "19-is-restore").Restore(s.t.Context(), sdk.RestoreInput{
		Item: item, FromBackup: sdk.NewDocument(raw), Restore: sdk.NewRestore(fieldstest.JSON(s.t, restore)),
	})
}

// keys returns the keys in the bucket that contain a text.
func (s *imageSite) keys(containing string) []string {
	s.t.Helper()
	client, err := s.minio.Client(s.minio.Endpoint)
	s.must(err)
	var keys []string
	for o := range client.ListObjects(s.t.Context(), s.bucket, minio.ListObjectsOptions{Recursive: true}) {
		s.must(o.Err)
		if strings.Contains(o.Key, containing) {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

func (s *imageSite) read(key string) string {
	s.t.Helper()
	client, err := s.minio.Client(s.minio.Endpoint)
	s.must(err)
	o, err := client.GetObject(s.t.Context(), s.bucket, key, minio.GetObjectOptions{})
	s.must(err)
	defer o.Close()
	content, err := io.ReadAll(o)
	s.must(err)
	return string(content)
}

func (s *imageSite) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// history returns the digests of a tag of a stream, the current one first.
func history(stream *unstructured.Unstructured, tag string) []string {
	var digests []string
	for t := range fields.Each(fields.ListAt(stream.Object, "status", "tags")) {
		for item := range fields.Each(fields.ListAt(t, "items")) {
			if fields.TextAt(t, "tag") == tag {
				digests = append(digests, fields.TextAt(item, "image"))
			}
		}
	}
	return digests
}
