package imagecopy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/opencontainers/go-digest"
)

// digestOf is the digest that tests write as a letter.
func digestOf(letter string) digest.Digest { return digest.FromString(letter) }

// withDigests puts digests in place of @LETTER, and of image: LETTER.
func withDigests(text string) string {
	for _, letter := range []string{"a", "b", "c", "d"} {
		text = strings.ReplaceAll(text, "image: "+letter+",", `image: "`+digestOf(letter).String()+`",`)
		text = strings.ReplaceAll(text, "@"+letter+"}", "@"+digestOf(letter).String()+"}")
	}
	return text
}

// planOf returns a plan as text: images as LETTER<repositories>!tags that they
// are current of, then tags as NAME=LETTERS, with a + if they are pushed.
func planOf(p imagePlan) string {
	letter := func(d digest.Digest) string {
		for _, l := range []string{"a", "b", "c", "d"} {
			if d == digestOf(l) {
				return l
			}
		}
		return d.String()
	}
	var parts []string
	for _, image := range p.images {
		text := letter(image.digest) + "<" + strings.Join(image.repositories, ",") + ">"
		if len(image.currentOf) > 0 {
			text += "!" + strings.Join(image.currentOf, ",")
		}
		parts = append(parts, text)
	}
	for _, t := range p.tags {
		text := t.name + "="
		for _, d := range t.digests {
			text += letter(d)
		}
		if t.pushed {
			text += "+"
		}
		if t.elsewhere != "" {
			text += "?" + t.elsewhere
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

func streamText(spec, status string) string {
	return withDigests("{kind: ImageStream, metadata: {name: app, namespace: shop}, spec: {tags: [" + spec + "]}, status: {tags: [" + status + "]}}")
}

// tagText is a tag of a status whose items, the newest first, are LETTER:REPOSITORY
// with the registry of the cluster, or else with a host.
func tagText(name string, items ...string) string {
	for i, item := range items {
		letter, repository, _ := strings.Cut(item, ":")
		if !strings.HasPrefix(repository, "quay.io/") {
			repository = "reg:5000/" + repository
		}
		items[i] = fmt.Sprintf("{image: %s, dockerImageReference: %s@%s}", letter, repository, letter)
	}
	return "{tag: " + name + ", items: [" + strings.Join(items, ", ") + "]}"
}

func TestPlan(t *testing.T) {
	for _, c := range []struct{ what, spec, status, want string }{
		{"nothing", "", "", ""},
		{"no items", "{name: v1}", "{tag: v1}, {tag: v2, items: []}", ""},
		{"one image", "{name: v1}", tagText("v1", "a:shop/app"), "a<shop/app>!v1 v1=a+"},
		{"history, the oldest first", "", tagText("v1", "c:shop/app", "b:shop/app", "a:shop/app"),
			"a<shop/app> b<shop/app> c<shop/app>!v1 v1=abc+"},
		{"back to an older image", "", tagText("v1", "a:shop/app", "b:shop/app", "a:shop/app"), "a<shop/app>!v1 b<shop/app> v1=aba+"},
		{"two tags, one image", "", tagText("v1", "a:shop/app") + ", " + tagText("v2", "a:shop/app", "b:shop/app"),
			"a<shop/app>!v1,v2 b<shop/app> v1=a+ v2=ba+"},
		{"external only", "{name: v1, from: {kind: DockerImage, name: quay.io/x}}", tagText("v1", "a:quay.io/x"), ""},
		{"alias in the stream", "{name: latest, from: {kind: ImageStreamTag, name: 'app:v1'}}",
			tagText("latest", "a:shop/app") + ", " + tagText("v1", "a:shop/app"), "a<shop/app>!latest,v1 latest=a v1=a+"},
		{"alias of another namespace", "{name: v1, from: {kind: ImageStreamTag, name: 'base:v1', namespace: tools}}",
			tagText("v1", "a:tools/base"), "a<shop/app,tools/base>!v1 v1=a"},
		{"alias of another stream", "{name: v1, from: {kind: ImageStreamTag, name: 'base:v1'}}",
			tagText("v1", "a:shop/base"), "a<shop/app,shop/base>!v1 v1=a"},
		{"reference that no tag follows", "{name: v1}", tagText("v1", "a:victim/app"), "a<shop/app>!v1 v1=a+"},
		{"reference of a user", "{name: v1, reference: true, from: {kind: DockerImage, name: 'reg:5000/victim/app'}}",
			"{tag: v1, items: [{image: '', dockerImageReference: reg:5000/victim/app@a}]}", ""},
		{"reference of a user over what was pushed", "{name: v1, reference: true, from: {kind: DockerImage, name: 'reg:5000/victim/app'}}",
			"{tag: v1, items: [{dockerImageReference: reg:5000/victim/app@a}, {image: b, dockerImageReference: reg:5000/shop/app@b}]}", "b<shop/app> v1=b"},
		{"image of its own namespace", "{name: v1, from: {kind: ImageStreamImage, name: 'app@x'}}, {name: v2, from: {kind: ImageStreamImage, name: 'app@x', namespace: shop}}",
			tagText("v1", "a:shop/app") + ", " + tagText("v2", "a:shop/other"), "a<shop/app>!v1,v2 v1=a+ v2=a+"},
		{"image of another namespace", "{name: v1, from: {kind: ImageStreamImage, name: 'app@x', namespace: tools}}",
			tagText("v1", "a:shop/app"), "a<shop/app>!v1 v1=a"},
		{"imported over what was pushed", "{name: v1, from: {kind: DockerImage, name: quay.io/x}}",
			tagText("v1", "b:quay.io/x", "a:shop/app"), "a<shop/app> v1=a"},
		{"pushed tag, now elsewhere", "{name: v1}", tagText("v1", "b:quay.io/x", "a:shop/app"),
			"a<shop/app> v1=a?quay.io/x@" + digestOf("b").String()},
		{"pushed over what was imported", "{name: v1}", tagText("v1", "b:shop/app", "a:quay.io/x"), "b<shop/app>!v1 v1=b+"},
		{"references in two repositories", "{name: v3, from: {kind: ImageStreamImage, name: 'base@x', namespace: tools}}", tagText("v1", "a:shop/app") + ", " + tagText("v2", "a:tools/base"),
			"a<shop/app,tools/base>!v1,v2 v1=a+ v2=a+"},
		{"a host that begins the same", "", "{tag: v1, items: [{image: a, dockerImageReference: 'reg:50001/shop/app@a'}]}", ""},
		{"digest only in the reference", "", "{tag: v1, items: [{dockerImageReference: reg:5000/shop/app@a}]}", ""},
		{"reference by a tag", "{name: v3, from: {kind: ImageStreamTag, name: 'base:v3', namespace: tools}}", "{tag: v1, items: [{image: a, dockerImageReference: 'reg:5000/tools/base:v3'}]}", "a<shop/app,tools/base>!v1 v1=a+"},
		{"odd fields", "7, {name: [], from: 1}", "7, {tag: 1, items: {}}, {tag: v1, items: [null, {image: 1, dockerImageReference: []}]}", ""},
	} {
		p := planImages(fieldstest.Object(t, streamText(c.spec, c.status)), "reg:5000")
		if got := planOf(p); p.unreadable != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.what, got, p.unreadable, c.want)
		}
	}
	for what, item := range map[string]string{
		"no digest":  "{image: app, dockerImageReference: reg:5000/shop/app}",
		"odd digest": "{image: 'sha256:aa', dockerImageReference: 'reg:5000/shop/app@sha256:aa'}",
	} {
		// The other tags are planned, and no old image of v7 takes the place of the current one.
		old := "{image: " + digestOf("b").String() + ", dockerImageReference: reg:5000/shop/app@b}"
		p := planImages(fieldstest.Object(t, streamText("", "{tag: v7, items: ["+item+", "+old+"]}, "+tagText("v8", "a:shop/app"))), "reg:5000")
		if err := p.unreadable; !errors.Is(err, CodeImageUnreadable) || !strings.Contains(err.Error(), "v7") {
			t.Errorf("%s: %v", what, err)
		}
		if got := planOf(p); !strings.Contains(got, "v8=a+") || strings.Contains(got, "v7=b+") {
			t.Errorf("%s: %s", what, got)
		}
		p = planImages(fieldstest.Object(t, streamText("", "{tag: v7, items: ["+old+", "+item+"]}")), "reg:5000")
		if got := planOf(p); p.unreadable != nil || !strings.Contains(got, "v7=b+") {
			t.Errorf("%s of an old image: %s, %v", what, got, p.unreadable)
		}
	}
	if p := planImages(fieldstest.Object(t, streamText("", tagText("v1", "a:shop/app"))), ""); planOf(p) != "" {
		t.Errorf("without a registry: %v", planOf(p))
	}
}

// For a user's Backup only repositories of the user's namespace and the public one
// are read, and for a user's Restore no tag follows another one.
func TestUsersReferences(t *testing.T) {
	const spec = "{name: v1, from: {kind: ImageStreamTag, name: 'app:v1', namespace: victim}}, " +
		"{name: v2, from: {kind: ImageStreamTag, name: 'cli:v1', namespace: openshift}}, {name: v3, from: {kind: ImageStreamTag, name: 'base:v1'}}"
	status := strings.Join([]string{tagText("v1", "a:victim/app"), tagText("v2", "b:openshift/cli"), tagText("v3", "c:shop/base")}, ", ")
	for annotation, want := range map[string]struct{ plan, tags string }{
		"":                                       {"a<shop/app,victim/app>!v1 b<shop/app,openshift/cli>!v2 c<shop/app,shop/base>!v3 v1=a v2=b v3=c", "v1 v2 v3"},
		"openshift.io/oadp-nab-origin-namespace": {"a<shop/app>!v1 b<shop/app,openshift/cli>!v2 c<shop/app,shop/base>!v3 v1=a v2=b v3=c", "v2 v3"},
	} {
		stream := fieldstest.Object(t, streamText(spec, status))
		var b velero.Backup
		b.Metadata.Annotations = map[string]string{annotation: "shop"}
		p := planBackup(&b, stream, "reg:5000")
		if got := planOf(p); got != want.plan {
			t.Errorf("%q: %s; want %s", annotation, got, want.plan)
		}
		var names []string
		RemoveForeignTags(&velero.Restore{Task: b.Task}, stream)
		for tag := range fields.Each(fields.ListAt(stream.Object, "spec", "tags")) {
			names = append(names, fields.TextAt(tag, "name"))
		}
		if got := strings.Join(names, " "); got != want.tags {
			t.Errorf("%q: tags %s, want %s", annotation, got, want.tags)
		}
	}
}

// A stream that is there keeps its tags, and gets those that it lacks.
func TestPlanForPresentStream(t *testing.T) {
	p := planImages(fieldstest.Object(t, streamText("{name: alias, from: {kind: ImageStreamTag, name: 'base:v1', namespace: tools}}",
		strings.Join([]string{
			tagText("v1", "a:shop/app"), tagText("v2", "b:shop/app", "a:shop/app"),
			tagText("v3", "c:shop/app"), tagText("alias", "d:tools/base"),
		}, ", "))), "reg:5000")
	for _, c := range []struct{ what, status, want, others string }{
		{"empty", "", planOf(p), ""},
		{"the same", tagText("v1", "a:x") + ", " + tagText("v2", "b:x") + ", " + tagText("v3", "c:x") + ", " + tagText("alias", "d:x"),
			"a<shop/app>!v1 b<shop/app>!v2 c<shop/app>!v3 d<shop/app,tools/base>!alias v1=a+ v2=ab+ v3=c+ alias=d", ""},
		{"the same, without what came before", tagText("v2", "b:x", "a:x") + ", " + tagText("v1", "d:x") + ", " + tagText("v3", "d:x"),
			"b<shop/app>!v2 d<shop/app,tools/base>!alias v2=ab+ alias=d", "v1 v3"},
		{"one is missing", tagText("v1", "a:x") + ", " + tagText("v3", "c:x", "d:x"),
			"a<shop/app>!v1 b<shop/app>!v2 c<shop/app>!v3 d<shop/app,tools/base>!alias v1=a+ v2=ab+ v3=c+ alias=d", ""},
		{"interrupted", tagText("v1", "a:x") + ", " + tagText("v2", "a:x") + ", " + tagText("v3", "c:x"),
			"a<shop/app>!v1 b<shop/app>!v2 c<shop/app>!v3 d<shop/app,tools/base>!alias v1=a+ v2=ab+ v3=c+ alias=d", ""},
		{"others", tagText("v1", "b:x") + ", " + tagText("v2", "a:x", "b:x") + ", " + tagText("v3", "d:x"),
			"d<shop/app,tools/base>!alias alias=d", "v1 v2 v3"},
	} {
		part, others := p.missingIn(histories(fieldstest.Object(t, streamText("", c.status))))
		var names []string
		for _, o := range others {
			names = append(names, o.tag)
			if o.inBackup == o.present || o.present == "" || o.inBackup == "" {
				t.Errorf("%s: %+v", c.what, o)
			}
		}
		if got := planOf(part); got != c.want || strings.Join(names, " ") != c.others {
			t.Errorf("%s: %s and %v; want %s and %s", c.what, got, names, c.want, c.others)
		}
	}
}

// A tag that is updated gets what it lacks, and never an old image in place of
// the current one.
func TestPlanForUpdatedStream(t *testing.T) {
	p := planImages(fieldstest.Object(t, streamText("", tagText("v1", "c:shop/app", "b:shop/app", "a:shop/app"))), "reg:5000")
	// Both begin with the oldest image.
	for there, want := range map[string]string{
		"": "abc", "a": "bc", "ab": "c", "abc": "", "dab": "c", "c": "", "dc": "", "b": "abc", "ba": "bc", "d": "abc",
	} {
		var items []string
		for _, letter := range strings.Split(there, "") {
			items = append([]string{letter + ":x"}, items...)
		}
		status := ""
		if there != "" {
			status = tagText("v1", items...)
		}
		updated := p.over(histories(fieldstest.Object(t, streamText("", status))))
		var history []*images.Manifest
		for _, d := range updated.tags[0].digests {
			history = append(history, &images.Manifest{Digest: d})
		}
		got := ""
		for _, m := range updated.tags[0].rest(history) {
			for _, letter := range []string{"a", "b", "c"} {
				if m.Digest == digestOf(letter) {
					got += letter
				}
			}
		}
		if got != want {
			t.Errorf("a tag with %q gets %q, want %q", there, got, want)
		}
	}
	if len(p.tags[0].there) != 0 {
		t.Error("the plan itself has changed")
	}
}

func TestRepositoryOf(t *testing.T) {
	for reference, want := range map[string]string{
		"": "", "host": "", "host/a": "a", "host:5000/a/b@sha256:x": "a/b", "host/a/b:v1": "a/b", "host:5000/a/b/c:v1@sha256:x": "a/b/c", "host/a:b/c": "a:b/c",
	} {
		if got := RepositoryOf(reference); got != want {
			t.Errorf("%s: %s", reference, got)
		}
	}
}

// What the backup says of converted images stands in the status, too, and only
// where the registry of the cluster is meant.
func TestConvertedImages(t *testing.T) {
	stream := fieldstest.Object(t, streamText("{name: v1}", tagText("v1", "b:shop/app", "a:shop/app")+", "+tagText("v2", "a:quay.io/x", "a:tools/base")))
	want := fieldstest.Object(t, streamText("{name: v1}", tagText("v1", "b:shop/app", "c:shop/app")+", "+tagText("v2", "a:quay.io/x", "c:tools/base")))
	s := Summary{Owner: "o", Images: 2, Converted: map[digest.Digest]digest.Digest{digestOf("a"): digestOf("c")}, Missing: []digest.Digest{digestOf("d")}}
	s.rewrite(stream, "reg:5000")
	fieldstest.Equal(t, "converted", stream, want)
	if err := s.annotate(stream); err != nil {
		t.Fatal(err)
	}
	read, ok := ReadSummary(stream)
	if !ok || read.Owner != "o" || read.Images != 2 || read.Converted[digestOf("a")] != digestOf("c") || !slices.Equal(read.Missing, s.Missing) {
		t.Errorf("read back: %+v, %t", read, ok)
	}
	fields.Annotate(stream, api.ImageCopyKey, "{")
	if _, ok := ReadSummary(stream); ok {
		t.Error("an annotation that is no JSON has a summary")
	}
}

// A stream is created with all that a push would not give it.
func TestNewStream(t *testing.T) {
	r, err := velero.RestoreOf(sdk.NewRestore(fieldstest.JSON(t, "{metadata: {name: r}, spec: {backupName: b, namespaceMapping: {shop: copy, tools: tools2}}}")))
	if err != nil {
		t.Fatal(err)
	}
	item := fieldstest.Object(t, withDigests(`{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: app, namespace: shop, uid: u, labels: {a: b},
annotations: {openshift.io/migration-registry: "bsl://", oadp.openshift.io/image-copy: "{}", openshift.io/backup-registry-hostname: "reg:5000", note: x}},
spec: {lookupPolicy: {local: true}, dockerImageRepository: quay.io/x, tags: [
  {name: v1, annotations: {description: d}, referencePolicy: {type: Local}},
  {name: v2, from: {kind: ImageStreamImage, name: "app@x"}},
  {name: latest, from: {kind: ImageStreamTag, name: "app:v1"}},
  {name: base, from: {kind: ImageStreamTag, name: "base:v1", namespace: tools}},
  {name: own, from: {kind: ImageStreamTag, name: "app:v1", namespace: shop}},
  {name: pinned, from: {kind: ImageStreamImage, name: "base@x", namespace: tools}},
  {name: ext, from: {kind: DockerImage, name: quay.io/x}, importPolicy: {scheduled: true}}, 7]},
status: {tags: [`+tagText("v1", "a:shop/app")+", "+tagText("v2", "a:shop/app")+", "+tagText("latest", "a:shop/app")+"]}}"))
	before := item.DeepCopy()
	p := planImages(item, "reg:5000")
	const head = `{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: app, namespace: copy,
labels: {a: b, velero.io/backup-name: b, velero.io/restore-name: r}, annotations: {openshift.io/backup-registry-hostname: "reg:5000", note: x}},
spec: {lookupPolicy: {local: true}, dockerImageRepository: quay.io/x, tags: [
  {name: v1, annotations: {description: d}, referencePolicy: {type: Local}},
  {name: v2},
  {name: latest, from: {kind: ImageStreamTag, name: "app:v1"}},
  `
	const own = `{name: own, from: {kind: ImageStreamTag, name: "app:v1", namespace: copy}},
  `
	const tail = `{name: ext, from: {kind: DockerImage, name: quay.io/x}, importPolicy: {scheduled: true}}, 7]}}`
	stream := newStream(r, item, item, p)
	fieldstest.Equal(t, "new", stream, fieldstest.Object(t, head+`{name: base, from: {kind: ImageStreamTag, name: "base:v1", namespace: tools2}},
  `+own+`{name: pinned, from: {kind: ImageStreamImage, name: "base@x", namespace: tools2}},
  `+tail))
	fieldstest.Equal(t, "the item", item, before)
	if removed := withoutForeignTags(stream); !slices.Equal(removed, []string{"base", "pinned"}) {
		t.Errorf("removed: %v", removed)
	}
	fieldstest.Equal(t, "without foreign tags", stream, fieldstest.Object(t, head+own+tail))
	if removed := withoutForeignTags(stream); removed != nil {
		t.Errorf("removed again: %v", removed)
	}
	empty := newStream(r, fieldstest.Object(t, "{kind: ImageStream, metadata: {name: app, namespace: shop}}"), &unstructured.Unstructured{}, imagePlan{})
	if empty.Object["spec"] != nil || fields.Label(empty, velero.RestoreLabel) != "r" {
		t.Errorf("of nothing: %v", empty)
	}
}

// What the API refuses since it refers to what is not there yet is created
// without these references; what it refuses otherwise is an error.
func TestRefusedStream(t *testing.T) {
	const invalid = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422, "message": "spec.tags[base].from: not found"}`
	text := func(tags string) string {
		return "{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: app, namespace: shop}, spec: {tags: [" + tags + "]}}"
	}
	const own, foreign = "{name: v1}", "{name: base, from: {kind: ImageStreamTag, name: 'base:v1'}}"
	for _, c := range []struct {
		what, tags string
		created    bool
		requests   int
	}{
		{"with a foreign tag", own + ", " + foreign, true, 2},
		{"without", own, false, 1},
	} {
		requests := 0
		images := imagesAt(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/json")
			if !c.created || strings.Contains(string(body), "base") {
				w.WriteHeader(http.StatusUnprocessableEntity)
				body = []byte(invalid)
			}
			_, _ = w.Write(body)
		}))
		err := images.createStream(t.Context(), fieldstest.Object(t, text(c.tags)))
		if (err == nil) != c.created || requests != c.requests {
			t.Errorf("%s: %v after %d requests", c.what, err, requests)
		}
	}
}
