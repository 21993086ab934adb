package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"

	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/minio/minio-go/v7"
	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// TestImages is about images that really go from a registry to a bucket and
// back.
func TestImages(t *testing.T) {
	t.Run("round trip", testRoundTrip)
	t.Run("pruned history", testPrunedHistory)
	t.Run("present streams", testPresentStreams)
	t.Run("deleted while the backup runs", testDeletedMeanwhile)
	t.Run("interrupted restore", testInterruptedRestore)
	t.Run("lost storage of the registry", testLostStorage)
	t.Run("tags that follow others", testUpdatedReferences)
	t.Run("schema 1", testSchema1)
	t.Run("migration", testMigration)
	t.Run("workers", testImageWorkers)
	t.Run("images of the next streams", testCopyAhead)
	t.Run("deleted backups", testDeletedBackups)
	t.Run("API calls", testImageRequests)
	t.Run("credentials", testImageCredentials)
	t.Run("registry access", testRegistryAccess)
	t.Run("locations that are not written to", testProtectedLocations)
}

// fill gives the site's namespace an image stream with all that can be in one,
// and returns the digests of its images.
func (s *imageSite) fill() (old, current, index string) {
	s.t.Helper()
	s.create(fmt.Sprintf(`{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: app, namespace: %s, labels: {team: shop}, annotations: {note: x}},
spec: {lookupPolicy: {local: true}, tags: [{name: v1, annotations: {description: d}}, {name: ext, from: {kind: DockerImage, name: quay.io/x/y:1}},
  {name: stable, from: {kind: ImageStreamTag, name: "app:v1"}}]}}`, s.namespace))
	old = s.push("app:v1", s.image(1))
	current = s.push("app:v1", s.image(2)) // shares a layer with the old one
	layer, err := sampleimage.Layer(3, 20_000)
	s.must(err)
	four, err := sampleimage.OCI().Index(100, 10_000, layer)
	s.must(err)
	index = s.push("app:multi", four)
	s.addTags(s.namespace, "app", fmt.Sprintf(`[{tag: stable, items: [{image: %[2]q, dockerImageReference: "%[1]s@%[2]s"}]},
{tag: ext, items: [{image: "%[3]s", dockerImageReference: "quay.io/x/y@%[3]s"}]}]`, s.registry.Host+"/"+s.namespace+"/app", current, digestOf("d")))
	return old, current, index
}

// addTags adds to the tags of a stream's status what only OpenShift itself
// would.
func (s *imageSite) addTags(namespace, name, tags string) {
	s.t.Helper()
	streams := s.cluster.Dynamic.Resource(api.ImageStreams).Namespace(namespace)
	stream, err := streams.Get(s.t.Context(), name, metav1.GetOptions{})
	s.must(err)
	added := fields.ListAt(fieldstest.Object(s.t, "tags: "+tags).Object, "tags")
	fields.Child(stream.Object, "status")["tags"] = append(fields.ListAt(stream.Object, "status", "tags"), added...)
	_, err = streams.Update(s.t.Context(), stream, metav1.UpdateOptions{})
	s.must(err)
}

// Images of every kind come back, in a registry that has never seen them, byte
// for byte and with their history.
func testRoundTrip(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	old, current, index := s.fill()
	log := testlog.Default(t)
	item, err := s.backUpStream("app", s.backup("one"))
	s.must(err)
	summary, ok := imagecopy.ReadSummary(item)
	if fields.Annotation(item, api.MigrationRegistryKey) != "bsl://" || !ok || summary.Images != 3 || summary.Blobs != 3+3+9 || summary.Copied != 5+9 || summary.Owner == "" || summary.Missing != nil {
		t.Errorf("the backup says %s", fields.Annotation(item, api.ImageCopyKey))
	}
	for _, image := range []string{old, current, index} {
		if !strings.Contains(log.String(), "digest="+image) {
			t.Errorf("there is no line about %s", image)
		}
	}
	repository := "docker/registry/v2/repositories/" + s.namespace + "/app/_manifests/tags/"
	tags := s.keys(repository)
	if len(tags) != 4 || s.read(repository+"v1/current/link") != current || s.read(repository+"multi/current/link") != index {
		t.Errorf("tags in the bucket: %v", tags)
	}
	s.checkSecondBackup(summary)

	target := s.otherRegistry()
	copied := s.cluster.NewNamespace(t)
	result, err := s.restoreStream(item, target, s.restore("r", "one", fmt.Sprintf(", namespaceMapping: {%s: %s}", s.namespace, copied)))
	if err != nil || !result.Skip {
		t.Fatalf("%+v, %v", result, err)
	}
	restored := s.stream(copied, "app")
	if want := history(item, "v1"); !slices.Equal(history(restored, "v1"), want) || len(want) != 2 {
		t.Errorf("history of v1: %v, want %v", history(restored, "v1"), want)
	}
	if got := history(restored, "multi"); !slices.Equal(got, []string{index}) || history(restored, "latest") != nil || history(restored, "stable") != nil {
		t.Errorf("tags: %v", restored.Object["status"])
	}
	fieldstest.Equal(t, "spec", &unstructured.Unstructured{Object: fields.MapAt(restored.Object, "spec")}, &unstructured.Unstructured{Object: fields.MapAt(item.Object, "spec")})
	if fields.Label(restored, "team") != "shop" || fields.Label(restored, velero.RestoreLabel) != "r" || fields.Label(restored, velero.BackupLabel) != "one" || fields.Annotation(restored, "note") != "x" ||
		fields.HasAnnotation(restored, api.ImageCopyKey) || fields.HasAnnotation(restored, api.MigrationRegistryKey) {
		t.Errorf("metadata: %v", restored.Object["metadata"])
	}
	for _, digest := range []string{old, current} {
		pulled, err := s.pull(target, copied+"/app", digest)
		s.must(err)
		image, err := pulled.Image()
		s.must(err)
		s.must(validate.Image(image))
	}
	pulled, err := s.pull(target, copied+"/app", index)
	s.must(err)
	four, err := pulled.ImageIndex()
	s.must(err)
	s.must(validate.Index(four))
}

func unchanged(*rest.Config) {}

// checkSecondBackup takes another backup, for which no blob must be read.
func (s *imageSite) checkSecondBackup(first imagecopy.Summary) {
	s.t.Helper()
	s.registry.ResetCounts()
	item, err := s.backUpStream("app", s.backup("two"))
	s.must(err)
	again, _ := imagecopy.ReadSummary(item)
	if again.Images != first.Images || again.Blobs != first.Blobs || again.Copied != 0 || again.Bytes != 0 || again.Owner == first.Owner {
		s.t.Errorf("second backup: %+v", again)
	}
	// The registry is asked for the manifests, as the bucket cannot tell what the
	// repository of the registry has, and for nothing else.
	for request, n := range s.registry.Counts().Requests {
		if request.Resource == openshift.Blobs || request.Resource == openshift.Manifests && request.Method != http.MethodGet {
			s.t.Errorf("second backup: %d requests %s for %s", n, request.Method, request.Resource)
		}
	}
}

// otherRegistry is that of another cluster.
func (s *imageSite) otherRegistry() *openshift.Registry {
	s.t.Helper()
	backend, err := servers.StartRegistry(s.t.Context(), stack.RegistryOptions{})
	s.must(err)
	s.t.Cleanup(backend.Stop)
	other := s.newRegistry(backend)
	maps := s.cluster.Kubernetes.CoreV1().ConfigMaps(s.velero)
	published, err := maps.Get(s.t.Context(), "openshift-service-ca.crt", metav1.GetOptions{})
	s.must(err)
	published.Data["service-ca.crt"] += string(other.CAPEM)
	_, err = maps.Update(s.t.Context(), published, metav1.UpdateOptions{})
	s.must(err)
	return other
}

// What the registry no longer has is left out if it is history, and an error if
// it is not.
func testPrunedHistory(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	s.push("app:v1", s.image(1))
	reference := s.registry.Host + "/" + s.namespace + "/app@"
	stream := s.stream(s.namespace, "app")
	v1 := slices.Collect(fields.Each(fields.ListAt(stream.Object, "status", "tags")))[0]
	v1["items"] = append(fields.ListAt(v1, "items"), fields.Map{"image": digestOf("b").String(), "dockerImageReference": reference + digestOf("b").String()})
	log := testlog.Default(t)
	backup := find[sdk.BackupItemAction](t, s.actions, "19-is-backup")
	_, err := backup.Backup(t.Context(), sdk.BackupInput{Item: stream, Backup: sdk.NewBackup(fieldstest.JSON(t, s.backup("pruned")))})
	s.must(err)
	if summary, _ := imagecopy.ReadSummary(stream); summary.Images != 1 || len(summary.Missing) != 1 || summary.Missing[0] != digestOf("b") {
		t.Errorf("summary %+v", summary)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), reference+digestOf("b").String()) {
		t.Errorf("the log says\n%s", log.String())
	}
	// The backup is restored as far as it goes.
	target, into := s.otherRegistry(), s.cluster.NewNamespace(t)
	_, err = s.restoreStream(stream, target, s.restore("pruned", "pruned", fmt.Sprintf(", namespaceMapping: {%s: %s}", s.namespace, into)))
	s.must(err)
	if got := history(s.stream(into, "app"), "v1"); len(got) != 1 {
		t.Errorf("history: %v", got)
	}

	v1["items"] = slices.Insert(fields.ListAt(v1, "items"), 0, any(fields.Map{"image": digestOf("c").String(), "dockerImageReference": reference + digestOf("c").String()}))
	imagecopy.RemoveSummary(stream)
	result, err := backup.Backup(t.Context(), sdk.BackupInput{Item: stream, Backup: sdk.NewBackup(fieldstest.JSON(t, s.backup("broken")))})
	s.must(err)
	// The stream is in the backup, which fails in part: by the log and by the operation.
	for _, text := range []string{log.String()[strings.LastIndex(log.String(), "level=ERROR"):], failureOf(t, backup, result)} {
		if !strings.Contains(text, "OPENSHIFT_IMAGE_MISSING") || !strings.Contains(text, digestOf("c").String()) || !strings.Contains(text, "tag v1") {
			t.Errorf("without a current image: %s", text)
		}
	}
	if summary, _ := imagecopy.ReadSummary(stream); summary.Owner == "" || summary.Images != 1 {
		t.Errorf("summary of the part that is copied: %+v", summary)
	}
	_, err = s.restoreStream(stream, target, s.restore("broken", "pruned", fmt.Sprintf(", existingResourcePolicy: update, namespaceMapping: {%s: %s}", s.namespace, into)))
	if !errors.Is(err, imagecopy.CodeImageMissing) || !strings.Contains(err.Error(), digestOf("c").String()) {
		t.Errorf("restore without a current image: %v", err)
	}
}

// failureOf returns the error of the operation that a backup has begun.
func failureOf(t *testing.T, action sdk.BackupItemAction, result sdk.BackupResult) string {
	t.Helper()
	if result.OperationID == "" {
		t.Fatal("no operation has begun")
	}
	progress, err := action.(sdk.BackupOperations).BackupProgress(t.Context(), sdk.BackupOperation{ID: result.OperationID})
	if err != nil || !progress.Completed {
		t.Errorf("%+v, %v", progress, err)
	}
	return progress.Err
}

// A stream that is there keeps its tags, unless the restore is to update.
func testPresentStreams(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	one, two := s.push("app:v1", s.image(1)), s.push("app:v2", s.image(2))
	item, err := s.backUpStream("app", s.backup("b"))
	s.must(err)
	s.push("app:v1", s.image(7))
	changed := s.stream(s.namespace, "app")
	fields.MapAt(changed.Object, "status")["tags"] = fields.ListAt(changed.Object, "status", "tags")[:1]
	fields.RemoveAnnotation(changed, api.BackupRegistryHostKey)
	_, err = s.cluster.Dynamic.Resource(api.ImageStreams).Namespace(s.namespace).Update(t.Context(), changed, metav1.UpdateOptions{})
	s.must(err)
	now := history(changed, "v1")[0]

	log := testlog.Default(t)
	_, err = s.restoreStream(item, s.registry, s.restore("keep", "b", ""))
	s.must(err)
	kept := s.stream(s.namespace, "app")
	if history(kept, "v1")[0] != now || !slices.Equal(history(kept, "v2"), []string{two}) || fields.HasAnnotation(kept, api.ImageCopyKey) {
		t.Errorf("kept: %v", kept.Object)
	}
	if warning := log.String(); !strings.Contains(warning, "level=WARN") || !strings.Contains(warning, "inBackup="+one) || !strings.Contains(warning, "inCluster="+now) {
		t.Errorf("the log says\n%s", warning)
	}
	_, err = s.restoreStream(item, s.registry, s.restore("update", "b", ", existingResourcePolicy: update"))
	s.must(err)
	if updated := s.stream(s.namespace, "app"); history(updated, "v1")[0] != one {
		t.Errorf("updated: %v", history(updated, "v1"))
	}
}

// A stream or tag that is deleted while the backup runs is left out with a
// warning.
func testDeletedMeanwhile(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	s.push("app:v1", s.image(1))
	reference := s.registry.Host + "/" + s.namespace + "/app@" + digestOf("b").String()
	add := func(stream *unstructured.Unstructured) {
		spec := fields.Child(stream.Object, "spec")
		spec["tags"] = append(fields.ListAt(spec, "tags"), fields.Map{"name": "v9"})
		status := fields.MapAt(stream.Object, "status")
		status["tags"] = append(fields.ListAt(status, "tags"),
			fields.Map{"tag": "v9", "items": []any{fields.Map{"image": digestOf("b").String(), "dockerImageReference": reference}}})
	}
	backup := find[sdk.BackupItemAction](t, s.actions, "19-is-backup")
	log := testlog.Default(t)
	tagged := s.stream(s.namespace, "app")
	add(tagged)
	_, err := backup.Backup(t.Context(), sdk.BackupInput{Item: tagged, Backup: sdk.NewBackup(fieldstest.JSON(t, s.backup("tag")))})
	s.must(err)
	if summary, _ := imagecopy.ReadSummary(tagged); summary.Images != 1 || strings.Contains(fieldstest.YAML(t, tagged), "v9") || history(tagged, "v1") == nil {
		t.Errorf("the backup without the tag: %v", tagged.Object)
	}
	gone := s.stream(s.namespace, "app")
	add(gone)
	gone.SetName("gone")
	fields.MapAt(gone.Object, "status")["tags"] = fields.ListAt(gone.Object, "status", "tags")[1:]
	_, err = backup.Backup(t.Context(), sdk.BackupInput{Item: gone, Backup: sdk.NewBackup(fieldstest.JSON(t, s.backup("stream")))})
	s.must(err)
	if text := log.String(); strings.Count(text, "deleted while the backup ran") != 2 || strings.Count(text, "streamIsDeleted=true") != 1 {
		t.Errorf("the log says\n%s", text)
	}
}

// A restore that is repeated after an interruption goes on where it was: a tag
// that has the first images of its history gets the others.
func testInterruptedRestore(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	first, second := s.image(1), s.image(2)
	old, current := s.push("app:v1", first), s.push("app:v1", second)
	item, err := s.backUpStream("app", s.backup("b"))
	s.must(err)
	target, namespace := s.otherRegistry(), s.namespace
	s.registry, s.namespace = target, s.cluster.NewNamespace(t)
	s.push("app:v1", first) // what the interrupted restore has pushed
	_, err = s.restoreStream(item, target, s.restore("again", "b", fmt.Sprintf(", namespaceMapping: {%s: %s}", namespace, s.namespace)))
	s.must(err)
	if got := history(s.stream(s.namespace, "app"), "v1"); !slices.Equal(got, []string{current, old}) {
		t.Errorf("the tag has %v, want %s before %s", got, current, old)
	}
}

// A stream may be there while the storage of the registry was lost: a tag that
// stands for the right image is no reason to leave the image out.
func testLostStorage(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	image := s.push("app:v1", s.image(1))
	item, err := s.backUpStream("app", s.backup("b"))
	s.must(err)
	target := s.otherRegistry() // which is empty, while the cluster has the stream
	for restore, policy := range map[string]string{"keep": "", "update": ", existingResourcePolicy: update"} {
		_, err = s.restoreStream(item, target, s.restore(restore, "b", policy))
		s.must(err)
		if _, err := s.pull(target, s.namespace+"/app", image); err != nil {
			t.Errorf("%s: the image of a tag that was there: %v", restore, err)
		}
		if got := history(s.stream(s.namespace, "app"), "v1"); len(got) != 1 || got[0] != image {
			t.Errorf("%s: history %v", restore, got)
		}
		target = s.otherRegistry()
	}
}

// With the policy to update, tags that follow others follow again what they did.
func testUpdatedReferences(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	s.fill()
	item, err := s.backUpStream("app", s.backup("b"))
	s.must(err)
	change := func(tags string) {
		t.Helper()
		_, err := s.cluster.Dynamic.Resource(api.ImageStreams).Namespace(s.namespace).Patch(t.Context(), "app", types.MergePatchType,
			fieldstest.JSON(t, "spec: {tags: ["+tags+"]}"), metav1.PatchOptions{})
		s.must(err)
	}
	change("{name: v1}, {name: ext, from: {kind: DockerImage, name: quay.io/other}}, {name: mine, from: {kind: DockerImage, name: quay.io/mine}}")
	_, err = s.restoreStream(item, s.registry, s.restore("update", "b", ", existingResourcePolicy: update"))
	s.must(err)
	want := fieldstest.Object(t, `{kind: any, tags: [{name: v1}, {name: ext, from: {kind: DockerImage, name: quay.io/x/y:1}},
{name: mine, from: {kind: DockerImage, name: quay.io/mine}}, {name: stable, from: {kind: ImageStreamTag, name: "app:v1"}}]}`)
	got := &unstructured.Unstructured{Object: fields.Map{"kind": "any", "tags": fields.ListAt(s.stream(s.namespace, "app").Object, "spec", "tags")}}
	fieldstest.Equal(t, "tags", got, want)
}

// An image of schema 1 gets another digest, which the stream and the workloads
// have, too.
func testSchema1(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	layer, err := sampleimage.Layer(1, 10_000)
	s.must(err)
	plain, err := sampleimage.Docker().Image(layer)
	s.must(err)
	s.push("app:new", plain)
	image, err := sampleimage.NewSchema1(s.namespace+"/app", "old", layer)
	s.must(err)
	s.must(s.registry.ServeSchema1(t.Context(), s.namespace+"/app", "old", image))
	item, err := s.backUpStream("app", s.backup("b"))
	s.must(err)
	summary, _ := imagecopy.ReadSummary(item)
	converted := summary.Converted[image.Digest]
	if converted == "" || !slices.Equal(history(item, "old"), []string{converted.String()}) || !strings.Contains(fieldstest.YAML(t, item), "app@"+converted.String()) {
		t.Fatalf("the backup says %s: %v", fields.Annotation(item, api.ImageCopyKey), item.Object["status"])
	}
	target, into := s.otherRegistry(), s.cluster.NewNamespace(t)
	restore := s.restore("r", "b", fmt.Sprintf(", namespaceMapping: {%s: %s}", s.namespace, into))
	_, err = s.restoreStream(item, target, restore)
	s.must(err)
	if got := history(s.stream(into, "app"), "old"); !slices.Equal(got, []string{converted.String()}) {
		t.Errorf("restored: %v", got)
	}
	pod := func(image string) string {
		return fmt.Sprintf(`{kind: Deployment, metadata: {name: a, namespace: %s, annotations: {openshift.io/backup-registry-hostname: %q, openshift.io/restore-registry-hostname: %q}},
spec: {template: {spec: {containers: [{image: %q}]}}}}`, s.namespace, s.registry.Host, target.Host, image)
	}
	s.requests.Take()
	restoreCases(t, s.actions, "13-deployment", []restoreCase{
		{what: "no digest", item: pod(s.registry.Host + "/" + s.namespace + "/app:old"), restore: restore, want: pod(target.Host + "/" + into + "/app:old")},
	})
	if sent := s.requests.Take(); len(sent) > 0 {
		t.Errorf("an image without a digest took the requests %v", sent)
	}
	restoreCases(t, s.actions, "13-deployment", []restoreCase{
		{what: "converted", item: pod(s.registry.Host + "/" + s.namespace + "/app@" + image.Digest.String()), restore: restore,
			want: pod(target.Host + "/" + into + "/app@" + converted.String())},
		{what: "another digest", item: pod(s.registry.Host + "/" + s.namespace + "/app@" + digestOf("a").String()), restore: restore,
			want: pod(target.Host + "/" + into + "/app@" + digestOf("a").String())},
	})
	// Where the bucket is not to be had, workloads are restored all the same.
	log := testlog.Default(t)
	for range 3 {
		restoreCases(t, s.actions, "13-deployment", []restoreCase{
			{what: "no backup", item: pod(s.registry.Host + "/" + s.namespace + "/app@" + image.Digest.String()), restore: s.restore("gone", "gone", ""),
				want: pod(target.Host + "/" + s.namespace + "/app@" + image.Digest.String())},
		})
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings in\n%s", n, log.String())
	}
}

// A migration goes through a registry that lets everybody in.
func testMigration(t *testing.T) {
	s := newImageSite(t, unchanged, map[string]string{settings.Images: "false"})
	old := s.push("app:v1", s.image(1))
	current := s.push("app:v1", s.image(2))
	between, err := servers.StartRegistry(t.Context(), stack.RegistryOptions{TLS: true})
	s.must(err)
	t.Cleanup(between.Stop)
	metadata := ", labels: {app.kubernetes.io/part-of: openshift-migration}, annotations: {openshift.io/migration-registry: '" + between.Host + "'}"
	item, err := s.backUpStream("app", s.backup("b", metadata))
	s.must(err)
	if summary, _ := imagecopy.ReadSummary(item); fields.Annotation(item, api.MigrationRegistryKey) != between.Host || summary.Images != 2 || summary.Owner != "" {
		t.Errorf("the backup says %v", item.GetAnnotations())
	}
	if found := s.keys(""); len(found) != 0 {
		t.Errorf("in the bucket: %v", found)
	}
	target, into := s.otherRegistry(), s.cluster.NewNamespace(t)
	restore := s.restore("r", "b", fmt.Sprintf(", namespaceMapping: {%s: %s}", s.namespace, into))
	restore = strings.Replace(restore, "{name: r,", "{name: r"+metadata+",", 1)
	_, err = s.restoreStream(item, target, restore)
	s.must(err)
	if got := history(s.stream(into, "app"), "v1"); !slices.Equal(got, []string{current, old}) {
		t.Errorf("restored: %v", got)
	}
}

// Workers that back up streams with the same images copy each blob once, and
// leave nothing open behind.
func testImageWorkers(t *testing.T) {
	const workers = 20
	s := newImageSite(t, unchanged, nil)
	image := s.image(1)
	for i := range workers {
		s.push(fmt.Sprintf("app%d:v1", i), image)
	}
	backup := s.backup("b")
	s.requests.Take()
	s.registry.ResetCounts()
	var copied sync.Map
	var done sync.WaitGroup
	for i := range workers {
		item := s.stream(s.namespace, fmt.Sprintf("app%d", i))
		done.Go(func() {
			_, err := find[sdk.BackupItemAction](t, s.actions, "19-is-backup").Backup(t.Context(), sdk.BackupInput{Item: item, Backup: sdk.NewBackup(fieldstest.JSON(t, backup))})
			if err != nil {
				t.Error(err)
			}
			summary, _ := imagecopy.ReadSummary(item)
			copied.Store(i, summary.Copied)
		})
	}
	done.Wait()
	total := 0
	copied.Range(func(_, n any) bool { total += n.(int); return true })
	if reads := s.registry.Counts().Requests[openshift.Request{Method: http.MethodGet, Resource: openshift.Blobs}]; total != 3 || reads != 3 {
		t.Errorf("%d blobs were copied with %d requests, want 3", total, reads)
	}
	if sent := s.requests.Take(); len(sent) > 10 {
		t.Errorf("%d streams took the requests %v", workers, sent)
	}
}

// The images of a backup go when it is deleted and no other needs them.
func testDeletedBackups(t *testing.T) {
	s := newImageSite(t, unchanged, map[string]string{settings.Grace: "1ms"})
	old := s.push("app:v1", s.image(1))
	client, err := s.minio.Client(s.minio.Endpoint)
	s.must(err)
	backUp := func(name string) (*unstructured.Unstructured, string) {
		backup := s.backup(name)
		item, err := s.backUpStream("app", backup)
		s.must(err)
		_, err = client.PutObject(t.Context(), s.bucket, "velero/backups/"+name+"/velero-backup.json", strings.NewReader("{}"), 2, minio.PutObjectOptions{})
		s.must(err)
		return item, backup
	}
	first, firstBackup := backUp("first")
	current := s.push("app:v1", s.image(10))
	second, secondBackup := backUp("second")

	remove := func(item *unstructured.Unstructured, backup string) {
		t.Helper()
		_, err = find[sdk.DeleteItemAction](t, s.actions, "28-is-delete").Delete(t.Context(), sdk.DeleteInput{Item: item, Backup: sdk.NewBackup(fieldstest.JSON(t, backup))})
		s.must(err)
	}
	blob := func(digest string) int { return len(s.keys("blobs/sha256/" + digest[7:9] + "/" + digest[7:])) }
	stranger := second.DeepCopy()
	fields.RemoveAnnotation(stranger, api.ImageCopyKey)
	remove(stranger, secondBackup)
	s.set(map[string]string{settings.Grace: "1ms", settings.Cleanup: "false"})
	remove(second, secondBackup)
	s.set(map[string]string{settings.Grace: "1ms"})
	if entries := s.keys("oadp/refs/"); len(entries) != 3 {
		t.Errorf("entries while nothing is released: %v", entries)
	}
	list := func(args ...string) string {
		t.Helper()
		var out strings.Builder
		s.must(s.images.Clean(t.Context(), sdk.CommandInput{
			Args: append(args, "--location", "default", "--namespace", s.velero), Host: sdk.Host{Logger: slog.Default()}, Stdout: &out,
		}))
		return out.String()
	}
	if text := list("--dry-run"); !strings.Contains(text, "2 images in the index, 0 to go") || strings.Count(text, "backup "+s.velero+"/second") != 2 {
		t.Errorf("listed:\n%s", text)
	}
	// The image goes with a deletion that comes after the time of grace.
	s.must(stack.Await(t.Context(), func() error {
		remove(second, secondBackup)
		if blob(current) != 0 || blob(old) != 1 {
			return fmt.Errorf("after the second backup: %v", s.keys("blobs"))
		}
		return nil
	}))
	s.set(map[string]string{settings.Grace: "1h"})
	s = *s.again(t)
	s.set(map[string]string{settings.Grace: "1h"})
	remove(first, firstBackup)
	remove(first, firstBackup) // again
	if blob(old) != 1 || len(s.keys("oadp/refs/")) != 0 {
		t.Errorf("in the time of grace: %v", s.keys("docker"))
	}
	if text := list(); !strings.Contains(text, "stays  "+old) || !strings.Contains(text, "removed: 0 images") {
		t.Errorf("listed:\n%s", text)
	}
	s.set(map[string]string{settings.Grace: "1ms"})
	if text := list("--dry-run"); !strings.Contains(text, "goes   "+old) || !strings.Contains(text, "1 to go") || blob(old) != 1 {
		t.Errorf("listed:\n%s", text)
	}
	s.must(stack.Await(t.Context(), func() error {
		if text := list(); !strings.Contains(text, "removed: 1 images, 4 blobs") {
			return fmt.Errorf("listed:\n%s", text)
		}
		return nil
	}))
	if left := s.keys("docker/"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// Nothing of a deletion fails for what cannot be reached.
	log := testlog.Default(t)
	item := second.DeepCopy()
	_, err = find[sdk.DeleteItemAction](t, s.again(t).actions, "28-is-delete").Delete(t.Context(), sdk.DeleteInput{Item: item, Backup: sdk.NewBackup(fieldstest.JSON(t, s.backupAt("gone", "third")))})
	s.must(err)
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "LOCATION_MISSING") {
		t.Errorf("the log says\n%s", log.String())
	}
}

// Nothing is written to a location without a prefix, which the folder docker/
// would make unavailable, and nothing is removed from one that is read-only.
func testProtectedLocations(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	s.push("app:v1", s.image(1))
	s.location("root", "prefix: velero => caCert: ''")
	if _, err := s.backUpStream("app", s.backupAt("root", "b-root")); !errors.Is(err, imagecopy.CodeNoPrefix) || !strings.Contains(err.Error(), "spec.objectStorage.prefix") {
		t.Errorf("without a prefix: %v", err)
	}
	if found := s.keys(""); len(found) > 0 {
		t.Errorf("in the bucket: %v", found)
	}
	s.location("kept", "spec: { => spec: {accessMode: ReadOnly, ")
	clean := func(args ...string) error {
		return s.images.Clean(t.Context(), sdk.CommandInput{Args: append(args, "--location", "kept", "--namespace", s.velero), Stdout: io.Discard, Host: sdk.Host{Logger: slog.Default()}})
	}
	if err := clean(); !errors.Is(err, imagecopy.CodeReadOnly) {
		t.Errorf("clean-up of a location that is read-only: %v", err)
	}
	if err := clean("--dry-run"); err != nil {
		t.Errorf("a look at a location that is read-only: %v", err)
	}
}
