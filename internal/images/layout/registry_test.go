package layout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/minio/minio-go/v7"
	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/open"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.MinIO, tools.Registry) }

// scene is a bucket with a stock registry in front of it.
type scene struct {
	t        *testing.T
	minio    *stack.MinIO
	name     string
	bucket   objectstore.Bucket
	registry *stack.Registry
}

func newScene(t *testing.T) *scene {
	t.Helper()
	m := servers.MinIO(t)
	s := &scene{t: t, minio: m, name: m.NewBucket(t)}
	bucket, err := open.Bucket(t.Context(), &registrysecret.Found{
		Location: &location.Location{
			Kind: location.BackupStorage, Namespace: "openshift-adp", Name: "default", Provider: "aws", Bucket: s.name, Prefix: "velero",
			Config: map[string]string{"region": stack.Region, "s3Url": m.Endpoint, "multipartPartSizeMiB": "5"},
		},
		Provider: "aws", Source: registrysecret.LocationCredential, From: "the test",
		Credential: credential(m),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	s.bucket = bucket
	return s
}

func (s *scene) withRegistry() *scene {
	s.t.Helper()
	var err error
	s.registry, err = servers.StartRegistry(s.t.Context(), stack.RegistryOptions{
		Bucket: &stack.RegistryBucket{MinIO: s.minio, Endpoint: s.minio.Endpoint, Name: s.name},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.registry.Attach(s.t)
	s.t.Cleanup(s.registry.Stop)
	return s
}

func (s *scene) reference(image string) name.Reference {
	s.t.Helper()
	ref, err := name.ParseReference(s.registry.Host + "/" + image)
	if err != nil {
		s.t.Fatal(err)
	}
	return ref
}

// push gives the registry a manifest whose blobs it has. Clients that look first
// whether it has the manifest as well do not write it, and leave no trace.
func (s *scene) push(m *images.Manifest, repository, reference string) {
	s.t.Helper()
	url := s.registry.Endpoint + "/v2/" + repository + "/manifests/" + reference
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, url, bytes.NewReader(m.Content))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", m.MediaType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		s.t.Fatalf("%s: %s", url, response.Status)
	}
}

// wantPulled pulls an index from the registry and compares all of it.
func (s *scene) wantPulled(from string, image made) {
	s.t.Helper()
	got, err := remote.Index(s.reference(from))
	if err != nil {
		s.t.Error(err)
		return
	}
	if err := validate.Index(got); err != nil { // reads all blobs and compares their digests
		s.t.Errorf("%s: %v", from, err)
	}
	wanted, err := image.index.RawManifest()
	if err != nil {
		s.t.Fatal(err)
	}
	if raw, err := got.RawManifest(); err != nil || !bytes.Equal(raw, wanted) {
		s.t.Errorf("%s is %s, %v in place of %s", from, raw, err, wanted)
	}
}

func (s *scene) wantNotFound(from string) {
	s.t.Helper()
	_, err := remote.Get(s.reference(from))
	var failure *transport.Error
	if !errors.As(err, &failure) || failure.StatusCode != http.StatusNotFound {
		s.t.Errorf("%s: %v", from, err)
	}
}

func (s *scene) keys(prefix string) []string {
	s.t.Helper()
	var found []string
	for o, err := range s.bucket.List(s.t.Context(), prefix) {
		if err != nil {
			s.t.Fatal(err)
		}
		found = append(found, o.Key)
	}
	return found
}

// fourArchitectures makes an index whose images share a layer.
func fourArchitectures(t *testing.T) v1.ImageIndex {
	t.Helper()
	base, err := random.Layer(200<<10, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	index := v1.ImageIndex(empty.Index)
	for _, architecture := range []string{"amd64", "arm64", "ppc64le", "s390x"} {
		own, err := random.Layer(100<<10, "application/vnd.docker.image.rootfs.diff.tar.gzip")
		if err != nil {
			t.Fatal(err)
		}
		image, err := mutate.AppendLayers(empty.Image, base, own)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture = "linux", architecture
		if image, err = mutate.ConfigFile(image, config); err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	return index
}

// made is an index as a source.
type made struct{ index v1.ImageIndex }

func (m made) digest() digest.Digest {
	d, err := m.index.Digest()
	if err != nil {
		panic(err)
	}
	return digest.Digest(d.String())
}

// Manifest implements images.Source.
func (m made) Manifest(_ context.Context, _ string, d digest.Digest) (*images.Manifest, error) {
	raw, err := m.index.RawManifest()
	if d != m.digest() {
		image, failure := m.index.Image(hash(d))
		if failure != nil {
			return nil, failure
		}
		raw, err = image.RawManifest()
	}
	if err != nil {
		return nil, err
	}
	return images.ParseManifest(raw, "", d)
}

// Blob implements images.Source.
func (m made) Blob(_ context.Context, _ string, b images.Descriptor) (io.ReadCloser, error) {
	index, err := m.index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, child := range index.Manifests {
		image, err := m.index.Image(child.Digest)
		if err != nil {
			return nil, err
		}
		if config, err := image.ConfigName(); err == nil && config == hash(b.Digest) {
			raw, err := image.RawConfigFile()
			return io.NopCloser(bytes.NewReader(raw)), err
		}
		if layer, err := image.LayerByDigest(hash(b.Digest)); err == nil {
			return layer.Compressed()
		}
	}
	return nil, fs.ErrNotExist
}

func hash(d digest.Digest) v1.Hash {
	return v1.Hash{Algorithm: d.Algorithm().String(), Hex: d.Encoded()}
}

// backUp copies an image from a source and tags it.
func backUp(t *testing.T, from images.Source, d digest.Digest, to *Tree, repository, tag string) images.Result {
	t.Helper()
	copier := images.NewCopier(from, to, images.Limits{Images: 4, Blobs: 4}, slog.New(slog.DiscardHandler))
	result, err := copier.Copy(t.Context(), images.Image{Digest: d, Sources: []string{repository}, Repositories: []string{repository}})
	if err != nil {
		t.Fatal(err)
	}
	if err := copier.Tag(t.Context(), repository, tag, result.Manifest); err != nil {
		t.Fatal(err)
	}
	return result
}

// A stock registry serves what we write, and no longer serves what we remove.
func TestStockRegistryServesOurImages(t *testing.T) {
	t.Parallel()
	s := newScene(t).withRegistry()
	first, second := made{fourArchitectures(t)}, made{fourArchitectures(t)}
	tree := newTree(s.bucket, "1")
	backUp(t, first, first.digest(), tree, "ns/app", "v1")
	backUp(t, second, second.digest(), tree, "ns/app", "v2")
	backUp(t, first, first.digest(), tree, "localhost/app", "v1")
	end(t, s.bucket, tree)
	for _, from := range []string{"ns/app:v1", "ns/app@" + first.digest().String(), "app:v1"} {
		s.wantPulled(from, first)
	}
	s.wantPulled("ns/app:v2", second)

	removed := clean(t, newCleaner(s.bucket, 0), tree)
	if err := newCleaner(s.bucket, 0).Release(t.Context(), tree.backup, tree.backup.Owner(), []digest.Digest{first.digest()}); err != nil {
		t.Fatal(err)
	}
	if removed, err := newCleaner(s.bucket, 0).Sweep(t.Context()); err != nil || removed.Images != 1 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if removed != (Removed{}) {
		t.Errorf("removed %+v before anything was released", removed)
	}
	s.wantPulled("ns/app:v2", second)
	for _, from := range []string{"ns/app:v1", "ns/app@" + first.digest().String(), "app:v1"} {
		s.wantNotFound(from)
	}
	if err := newCleaner(s.bucket, 0).Release(t.Context(), tree.backup, tree.backup.Owner(), []digest.Digest{second.digest()}); err != nil {
		t.Fatal(err)
	}
	if _, err := newCleaner(s.bucket, 0).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := s.keys("docker/"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// What a stock registry has written we read, do not write again, and never remove.
func TestImagesOfAStockRegistry(t *testing.T) {
	t.Parallel()
	s := newScene(t).withRegistry()
	index := made{fourArchitectures(t)}
	if err := remote.WriteIndex(s.reference("ns/app:v1"), index.index); err != nil {
		t.Fatal(err)
	}
	before := s.keys("docker/registry/v2/")

	tree := newTree(s.bucket, "1")
	copied := newMemory()
	backUp(t, tree, index.digest(), newTree(copied, "x"), "ns/app", "v1")
	for _, key := range copied.keys(blobsRoot) {
		r, err := s.bucket.Get(t.Context(), key)
		if err != nil {
			t.Error(err)
			continue
		}
		content, err := io.ReadAll(r)
		if r.Close(); err != nil || string(content) != copied.content(key) {
			t.Errorf("%s has another content, %v", key, err)
		}
	}
	if n := len(copied.keys(blobsRoot)); n != 14 { // 5 manifests, 4 configurations, 5 layers
		t.Errorf("%d blobs were copied", n)
	}

	if result := backUp(t, tree, index.digest(), tree, "ns/app", "v1"); result.Copied != 0 {
		t.Errorf("%d blobs were copied that were there", result.Copied)
	}
	end(t, s.bucket, tree)
	c := newCleaner(s.bucket, 0)
	if err := c.Release(t.Context(), tree.backup, tree.backup.Owner(), []digest.Digest{index.digest()}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := s.keys("docker/registry/v2/"); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("before %q, after %q", before, after)
	}
	s.wantPulled("ns/app:v1", index)
}

// An image that we wrote belongs to the registry once it was pushed there too.
func TestImageThatIsPushedAgainStays(t *testing.T) {
	t.Parallel()
	s := newScene(t).withRegistry()
	index := made{fourArchitectures(t)}
	tree := newTree(s.bucket, "1")
	backUp(t, index, index.digest(), tree, "ns/app", "v1")
	end(t, s.bucket, tree)
	waitForNextSecond(t, s.bucket)
	m, err := index.Manifest(t.Context(), "", index.digest())
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range m.Manifests {
		m, err := index.Manifest(t.Context(), "", child.Digest)
		if err != nil {
			t.Fatal(err)
		}
		s.push(m, "ns/app", m.Digest.String())
	}
	s.push(m, "ns/app", "v1")
	c := newCleaner(s.bucket, 0)
	if err := c.Release(t.Context(), tree.backup, tree.backup.Owner(), []digest.Digest{index.digest()}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantPulled("ns/app:v1", index)
	if left := s.keys(indexRoot); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// waitForNextSecond waits until the server's clock shows another second than when
// it was called.
func waitForNextSecond(t *testing.T, bucket objectstore.Bucket) {
	t.Helper()
	now := func() int64 {
		if err := bucket.Put(t.Context(), "clock", strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
		o, err := bucket.Stat(t.Context(), "clock")
		if err != nil {
			t.Fatal(err)
		}
		return o.Modified.Unix()
	}
	for begun := now(); now() == begun; {
		continue
	}
}

// A large layer whose reader fails near its end leaves no object and no parts.
func TestLargeBlobThatFails(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	layer := make([]byte, 12<<20)
	rand.NewChaCha8([32]byte{}).Read(layer)
	b := images.Descriptor{Digest: digest.NewDigestFromBytes(digest.SHA256, sum(layer)), Size: int64(len(layer))}
	damaged := bytes.Clone(layer)
	damaged[len(damaged)-1]++
	tree := newTree(s.bucket, "1")
	announce(t, tree, b.Digest, "ns/app")
	for name, body := range map[string][]byte{"damaged": damaged, "cut": layer[:len(layer)-1]} {
		_, err := tree.PutBlob(t.Context(), "ns/app", b, reading(bytes.NewReader(body)))
		if err == nil || !strings.Contains(err.Error(), b.Digest.String()) {
			t.Errorf("%s: %v", name, err)
		}
		if left := s.keys("docker/registry/v2/"); len(left) != 0 {
			t.Errorf("%s: left behind: %q", name, left)
		}
		client, err := s.minio.Client(s.minio.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		for upload := range client.ListIncompleteUploads(t.Context(), s.name, blobKey(b.Digest), true) {
			t.Errorf("%s: left behind: %+v", name, upload)
		}
	}
	if n, err := tree.PutBlob(t.Context(), "ns/app", b, reading(bytes.NewReader(layer))); n != b.Size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	// A blob of the wrong size, as crashed copies of others have left, is replaced.
	client, err := s.minio.Client(s.minio.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutObject(t.Context(), s.name, blobKey(b.Digest), bytes.NewReader(layer[:99]), 99, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if n, err := put(t, newTree(s.bucket, "2"), "ns/app", b, reading(bytes.NewReader(layer))); n != b.Size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if o, err := s.bucket.Stat(t.Context(), blobKey(b.Digest)); err != nil || o.Size != b.Size {
		t.Errorf("%+v, %v", o, err)
	}
}

func sum(content []byte) []byte {
	s := sha256.Sum256(content)
	return s[:]
}

func credential(m *stack.MinIO) registrysecret.Credential {
	return registrysecret.Credential{Content: credfile.Sensitive(fmt.Sprintf(
		"[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", m.AccessKey, m.SecretKey))}
}
