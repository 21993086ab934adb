package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

// streamOf is an image stream with those annotations and one image of that host.
func streamOf(annotations, host string) string {
	if host != "" {
		host = fmt.Sprintf("{image: %q, dockerImageReference: %q}", digestOf("a"), host+"/shop/app@"+digestOf("a").String())
	}
	return "{kind: ImageStream, metadata: {name: app, annotations: {openshift.io/backup-registry-hostname: local" + annotations +
		"}}, spec: {tags: [{name: v1}]}, status: {tags: [{tag: v1, items: [" + host + "]}]}}"
}

// What becomes of the images is decided before anything is opened for them.
// Images that would have to be copied are an error where that is impossible,
// never a backup without them.
func TestImageStream(t *testing.T) {
	const (
		plain     = "{metadata: {name: x, namespace: velero}, spec: {backupName: b}}"
		migration = "{metadata: {name: x, labels: {app.kubernetes.io/part-of: openshift-migration}, annotations: {openshift.io/migration-registry: reg}}}"
		odd       = "{metadata: {name: x, labels: {app.kubernetes.io/part-of: openshift-migration}, annotations: {openshift.io/migration-registry: 'reg/path'}}}"
		nowhere   = "{metadata: {name: x, labels: {app.kubernetes.io/part-of: openshift-migration}}}"
		disabled  = `{metadata: {name: x, annotations: {migration.openshift.io/disable-image-copy: "true"}}}`
		skipped   = `, openshift.io/skip-image-copy: "true"`
		asIs      = `, migration.openshift.io/disable-image-copy: "true"`
		toBucket  = `, openshift.io/migration-registry: "bsl://"`
		copied    = `, oadp.openshift.io/image-copy: "{}"`
	)
	withoutImages := strings.Replace(strings.Replace(streamOf(asIs, ""), "tags: [{name: v1}]", "tags: []", 1), "tags: [{tag: v1, items: []}]", "tags: []", 1)
	none := fault.Code{}
	for _, c := range []struct {
		what, enabled, backup, item, backedUp string
		backupErr, restoreErr                 fault.Code
	}{
		{"images are off", "", plain, streamOf("", "local"), "", none, none},
		{"images are off, and were not", "", plain, streamOf(toBucket, "local"), "", none, none},
		{"left out by the stream, and was not", "true", plain, streamOf(toBucket+copied+skipped, "local"), streamOf(toBucket+skipped, "local"), none, none},
		{"images are off, and were copied", "", plain, streamOf(toBucket+copied, "local"), streamOf(toBucket, "local"), none, none},
		{"images elsewhere, and were copied", "true", plain, streamOf(toBucket+copied, "quay.io"), streamOf(toBucket, "quay.io"), none, none},
		{"left out by the backup, and was not", "true", disabled, streamOf(toBucket+copied, "local"), strings.Replace(withoutImages, asIs, toBucket+asIs, 1), none, imagecopy.CodeBackupUnreadable},
		{"images are off, in words", "false", plain, streamOf("", "local"), "", none, none},
		{"local images, which a restore does not look for", "true", plain, streamOf("", "local"), "", registrysecret.LocationMissing, none},
		{"local images", "true", plain, streamOf(toBucket, "local"), "", registrysecret.LocationMissing, imagecopy.CodeBackupUnreadable},
		{"images elsewhere", "true", plain, streamOf("", "quay.io"), streamOf(toBucket, "quay.io"), none, none},
		{"a host that begins the same", "true", plain, streamOf("", "localhost"), streamOf(toBucket, "localhost"), none, none},
		{"no images", "true", plain, streamOf("", ""), streamOf(toBucket, ""), none, none},
		{"left out by the stream", "true", plain, streamOf(skipped, "local"), "", none, none},
		{"left out by the backup", "true", disabled, streamOf("", "local"), withoutImages, none, none},
		{"left out before", "true", plain, streamOf(asIs, "local"), "", registrysecret.LocationMissing, none},
		{"migration", "", migration, streamOf(toBucket, "local"), "", kube.CodeNoToken, imagecopy.CodeNoRegistry},
		{"migration through what is no registry", "", odd, streamOf(toBucket, "local"), "", imagecopy.CodeNoMigrationRegistry, imagecopy.CodeNoMigrationRegistry},
		{"migration, left out by the stream", "", migration, streamOf(skipped, "local"), "", none, none},
		{"migration to nowhere", "", nowhere, streamOf("", "quay.io"), "", imagecopy.CodeNoMigrationRegistry, imagecopy.CodeNoMigrationRegistry},
	} {
		t.Setenv("OPENSHIFT_IMAGESTREAM_BACKUP", c.enabled)
		cluster := func(err fault.Code) *actions {
			if err == none {
				return offline(t)
			}
			return actionsAt(t, http.NotFoundHandler())
		}
		got, _, err := backUp(t, cluster(c.backupErr), "19-is-backup", c.item, c.backup)
		if (err != nil) != (c.backupErr != none) || err != nil && (!errors.Is(err, c.backupErr) || !strings.Contains(err.Error(), "ImageStream app")) {
			t.Errorf("%s: backup: %v", c.what, err)
		}
		want := c.backedUp
		if want == "" {
			want = c.item
		}
		fieldstest.Equal(t, c.what, got, fieldstest.Object(t, want))
		rc := restoreCase{what: c.what, item: c.item, restore: c.backup, err: c.restoreErr.ID,
			want: strings.NewReplacer(toBucket, "", copied, "").Replace(c.item)}
		rc.run(t, cluster(c.restoreErr), "19-is-restore")
	}
	t.Setenv("OPENSHIFT_IMAGESTREAM_BACKUP", "true")
	restoreCases(t, offline(t), "19-is-restore", []restoreCase{
		{what: "where the images were kept", item: streamOf(toBucket, "quay.io"), want: streamOf("", "quay.io")},
	})

	t.Setenv("OPENSHIFT_IMAGESTREAM_BACKUP", "")
	for host, warnings := range map[string]int{"quay.io": 0, "local": 1} {
		log := testlog.Default(t)
		restoreCases(t, offline(t), "19-is-restore", []restoreCase{{what: "without its images", item: streamOf("", host), want: streamOf("", host)}})
		if got := strings.Count(log.String(), "without its images"); got != warnings {
			t.Errorf("images of %s: %d warnings: %s", host, got, log.String())
		}
	}
}

// The API refuses a stream with a tag that refers to an image which the stream
// does not have, or to a stream that is not there. Velero creates none with such
// tags, whatever the reason is for which no images are copied.
func TestTagsThatTheAPIRefuses(t *testing.T) {
	external := digestOf("a").String()
	stream := func(annotations, tags string) string {
		return fmt.Sprintf(`{kind: ImageStream, metadata: {name: app, namespace: shop, annotations: {openshift.io/backup-registry-hostname: local%s}},
spec: {tags: [{name: v1}%s]}, status: {tags: [{tag: v1, items: [{image: %q, dockerImageReference: "local/shop/app@%s"}]},
{tag: imported, items: [{image: %q, dockerImageReference: "quay.io/x@%s"}]}, {tag: pinned, items: [{image: %q, dockerImageReference: "local/shop/app@%s"}]}]}}`,
			annotations, tags, digestOf("b"), digestOf("b"), external, external, digestOf("b"), digestOf("b"))
	}
	const (
		pinned   = ", {name: pinned, from: {kind: ImageStreamImage, name: 'app@sha256:b'}}"
		foreign  = ", {name: foreign, from: {kind: ImageStreamImage, name: 'base@sha256:b', namespace: tools}}"
		imported = ", {name: imported, from: {kind: ImageStreamImage, name: 'app@sha256:a'}}"
		alias    = ", {name: latest, from: {kind: ImageStreamTag, name: 'app:v1'}}, {name: short, from: {kind: ImageStreamTag, name: v1}}"
		present  = ", {name: there, from: {kind: ImageStreamTag, name: 'there:v1'}}"
		absent   = ", {name: gone, from: {kind: ImageStreamTag, name: 'gone:v1'}}"
		skipped  = `, openshift.io/skip-image-copy: "true"`
	)
	fitted := ", {name: imported, from: {kind: DockerImage, name: 'quay.io/x@" + external + "'}}"
	for _, c := range []struct{ what, images, annotations string }{
		{"images are off", "", ""},
		{"left out by the stream", "true", skipped},
		{"the backup has no images", "true", ""},
	} {
		t.Setenv("OPENSHIFT_IMAGESTREAM_BACKUP", c.images)
		a := actionsAt(t, imageAPI(t, map[string]string{"copy/imagestreams/there": "{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: there}}"}))
		log := testlog.Default(t)
		restoreCases(t, a, "19-is-restore", []restoreCase{{
			what:    c.what,
			item:    stream(c.annotations, pinned+foreign+imported+alias+present+absent),
			restore: "{metadata: {name: r}, spec: {namespaceMapping: {shop: copy}}}",
			want:    stream(c.annotations, fitted+alias+present),
		}})
		if !strings.Contains(log.String(), "tags=\"[pinned foreign gone]\"") {
			t.Errorf("%s: the log says\n%s", c.what, log.String())
		}
	}
}

// imageAPI answers for image streams and their tags, which no custom resource
// can stand in for.
func imageAPI(t *testing.T, objects map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := objects[strings.TrimPrefix(r.URL.Path, "/apis/image.openshift.io/v1/namespaces/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(fieldstest.JSON(t, text)); err != nil {
			t.Error(err)
		}
	})
}

const shopStreams = `
apiVersion: image.openshift.io/v1
kind: ImageStreamList
items:
- {metadata: {name: app}, spec: {tags: [{name: latest, from: {kind: ImageStreamTag, name: "app:v1"}}, {name: later}]},
   status: {tags: [{tag: latest, items: [{image: "sha256:aa"}]}, {tag: v1, items: [{image: "sha256:aa"}, {image: "sha256:00"}]}]}}
- {metadata: {name: base}, spec: {tags: [{name: v2, from: {kind: DockerImage, name: quay.io/x}}]}, status: {tags: [{tag: v2, items: [{image: "sha256:bb"}]}, {tag: v3, items: []}]}}
`

func TestImageStreamTagBackup(t *testing.T) {
	a := actionsAt(t, imageAPI(t, map[string]string{"shop/imagestreams": shopStreams}))
	item := func(from, annotations string) string {
		return "{kind: ImageStreamTag, metadata: {name: 'app:x', namespace: shop" + annotations + "}, tag: {from: {" + from + "}}}"
	}
	related := func(name string) string {
		return ", annotations: {migration.openshift.io/related-istag: '" + name + "', migration.openshift.io/related-istag-ns: shop}"
	}
	for _, c := range []struct{ what, from, related string }{
		{"tag", "kind: ImageStreamTag, name: 'app:v1'", "app:v1"},
		{"tag with its namespace", "kind: ImageStreamTag, name: 'base:v2', namespace: shop", "base:v2"},
		{"tag without an image", "kind: ImageStreamTag, name: 'app:later'", ""},
		{"tag with an empty history", "kind: ImageStreamTag, name: 'base:v3'", ""},
		{"no such tag", "kind: ImageStreamTag, name: 'app:v9'", ""},
		{"no such stream", "kind: ImageStreamTag, name: 'gone:v1'", ""},
		{"another namespace", "kind: ImageStreamTag, name: 'app:v1', namespace: other", ""},
		{"image", "kind: ImageStreamImage, name: 'app@sha256:aa'", "app:v1"},
		{"imported image", "kind: ImageStreamImage, name: 'app@sha256:bb'", "base:v2"},
		{"old image", "kind: ImageStreamImage, name: 'app@sha256:00'", ""},
		{"no digest", "kind: ImageStreamImage, name: app", ""},
		{"external", "kind: DockerImage, name: quay.io/a/b", ""},
	} {
		want := item(c.from, "")
		if c.related != "" {
			want = item(c.from, related(c.related))
		}
		got, result, err := backUp(t, a, "04-imagestreamtag-backup", item(c.from, related("app:stale")), "{metadata: {uid: b}}")
		if err != nil || result.AdditionalItems != nil {
			t.Errorf("%s: %v, %v", c.what, result, err)
		}
		fieldstest.Equal(t, c.what, got, fieldstest.Object(t, want))
	}
}

// userRestore is what OADP makes for a user of namespace shop.
const userRestore = "{metadata: {name: r, annotations: {openshift.io/oadp-nar-origin-namespace: shop}}}"

func TestImageStreamTagRestore(t *testing.T) {
	present := map[string]string{
		"copy/imagestreams": "{apiVersion: image.openshift.io/v1, kind: ImageStreamList, items: [{metadata: {name: whole}, spec: {tags: [{name: v1}]}}]}",
	}
	item := func(name, from, host, annotations string) string {
		return "{kind: ImageStreamTag, metadata: {name: '" + name + "', namespace: shop, annotations: {openshift.io/backup-registry-hostname: local" + annotations +
			"}}, tag: {" + from + "}, image: {dockerImageReference: " + host + "/shop/app@sha256:aa}}"
	}
	const followed = ", migration.openshift.io/related-istag: 'app:v1', migration.openshift.io/related-istag-ns: shop"
	for _, c := range []struct {
		restoreCase
		related []sdk.ResourceIdentifier
	}{
		{restoreCase{what: "local", item: item("app:v1", "", "local", ""), skip: true}, nil},
		{restoreCase{what: "external", item: item("app:v1", "", "quay.io", "")}, nil},
		{restoreCase{what: "the stream has it", item: item("whole:v1", "", "quay.io", ""), skip: true}, nil},
		{restoreCase{what: "the stream lacks it", item: item("whole:v2", "", "quay.io", "")}, nil},
		{restoreCase{what: "follows a tag",
			item: item("app:latest", "annotations: {a: b}, x: 1, from: {kind: ImageStreamTag, name: 'app:v1', namespace: shop}", "local", followed),
			want: item("app:latest", "x: 1, from: {kind: ImageStreamTag, name: 'app:v1', namespace: copy}", "local", followed)},
			[]sdk.ResourceIdentifier{{Group: "image.openshift.io", Resource: "imagestreamtags", Namespace: "shop", Name: "app:v1"}}},
		{restoreCase{what: "image of its own namespace", item: item("app:v1", "from: {kind: ImageStreamImage, name: 'app@b'}", "local", ""), skip: true}, nil},
		{restoreCase{what: "image of another namespace", item: item("app:v1", "from: {kind: ImageStreamImage, name: 'app@b', namespace: other}", "local", "")}, nil},
		{restoreCase{what: "half of what it follows", item: item("app:latest", "", "quay.io", ", migration.openshift.io/related-istag: 'app:v1'")}, nil},
		{restoreCase{what: "the other half", item: item("app:latest", "", "quay.io", ", migration.openshift.io/related-istag-ns: shop")}, nil},
		{restoreCase{what: "empty", item: "kind: ImageStreamTag"}, nil},
		{restoreCase{what: "a user's own namespace", restore: userRestore,
			item: item("app:latest", "from: {kind: ImageStreamTag, name: 'app:v1', namespace: shop}", "local", "")}, nil},
		{restoreCase{what: "another user's namespace", restore: userRestore, skip: true,
			item: item("app:latest", "from: {kind: ImageStreamTag, name: 'app:v1', namespace: victim}", "local", "")}, nil},
	} {
		if c.restore == "" {
			c.restore = "{metadata: {name: r}, spec: {namespaceMapping: {shop: copy}}}"
		}
		result := c.run(t, actionsAt(t, imageAPI(t, present)), "04-imagestreamtag-restore")
		if !slices.Equal(result.AdditionalItems, c.related) || result.WaitForAdditionalItems == c.skip {
			t.Errorf("%s: %+v", c.what, result)
		}
	}
}

func TestImageStreamTagsReady(t *testing.T) {
	a := actionsAt(t, imageAPI(t, map[string]string{
		"copy/imagestreamtags/app:v1": "{apiVersion: image.openshift.io/v1, kind: ImageStreamTag, metadata: {name: 'app:v1'}}",
		"copy/imagestreams/broken": `{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: broken}, status: {tags: [
{tag: v1, conditions: [{type: ImportSuccess, status: "False"}]}, {tag: v2, conditions: []}]}}`,
	}))
	ready := find[sdk.ItemsReadiness](t, a, "04-imagestreamtag-restore")
	for names, want := range map[string]bool{
		"": true, "app:v1": true, "app:v2": false, "app:v1 app:v2": false,
		"broken:v1": true, "broken:v2": false, "broken:v3": false, "gone:v1": false,
	} {
		items := []sdk.ResourceIdentifier{{Group: "apps", Resource: "deployments", Namespace: "shop", Name: "foreign"}}
		for name := range strings.FieldsSeq(names) {
			items = append(items, sdk.ResourceIdentifier{Group: "image.openshift.io", Resource: "imagestreamtags", Namespace: "shop", Name: name})
		}
		answer, err := ready.ItemsReady(t.Context(), sdk.ItemsReadyInput{Items: items, Restore: sdk.NewRestore(fieldstest.JSON(t, "{spec: {namespaceMapping: {shop: copy}}}"))})
		if answer.Ready != want || err != nil {
			t.Errorf("%q: %t, %v", names, answer.Ready, err)
		}
	}
	broken := actionsAt(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "{}")
	}))
	items := []sdk.ResourceIdentifier{{Group: "image.openshift.io", Resource: "imagestreamtags", Namespace: "shop", Name: "app:v1"}}
	if answer, err := find[sdk.ItemsReadiness](t, broken, "04-imagestreamtag-restore").ItemsReady(t.Context(), sdk.ItemsReadyInput{Items: items, Restore: sdk.NewRestore([]byte("{}"))}); answer.Ready || err != nil {
		t.Errorf("with an API that fails: %t, %v", answer.Ready, err)
	}
}
