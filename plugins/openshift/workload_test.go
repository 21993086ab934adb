package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/opencontainers/go-digest"
)

const mapped = `
metadata: {name: r, uid: "1"}
spec: {namespaceMapping: {shop: shop-copy, openshift: elsewhere}}
`

// Images name the registry of the cluster that is restored to, and nothing but
// the registry's own images do.
func TestImageSwap(t *testing.T) {
	asked := 0
	swap := imageSwap{"r:5000", "new.example", func(namespace string) string {
		if namespace == "shop" || namespace == "openshift" {
			return namespace + "-copy"
		}
		return namespace
	}, func() map[digest.Digest]digest.Digest {
		asked++
		return map[digest.Digest]digest.Digest{digestOf("a"): digestOf("b")}
	}}
	for image, want := range map[string]string{
		"r:5000/shop/app:v1":                        "new.example/shop-copy/app:v1",
		"r:5000/shop/app@sha256:aa":                 "new.example/shop-copy/app@sha256:aa",
		"r:5000/shop/app@" + digestOf("a").String(): "new.example/shop-copy/app@" + digestOf("b").String(),
		"r:5000/shop/app@" + digestOf("b").String(): "new.example/shop-copy/app@" + digestOf("b").String(),
		"q:5000/shop/app@" + digestOf("a").String(): "q:5000/shop/app@" + digestOf("a").String(),
		"r:5000/other/app":                          "new.example/other/app",
		"r:5000/openshift/ruby@sha256:aa":           "new.example/openshift/ruby",
		"r:5000/openshift/ruby:2@sha256:aa":         "new.example/openshift/ruby:2",
		"r:5000/openshift/ruby:2":                   "new.example/openshift-copy/ruby:2",
		"r:5000/shop/deep/app:v1":                   "new.example/shop-copy/deep/app:v1",
		"r:5000/app":                                "new.example/app",
		"r:50001/shop/app":                          "r:50001/shop/app",
		"r:500/shop/app":                            "r:500/shop/app",
		"shop/app":                                  "shop/app",
		"app":                                       "app",
		"r:5000":                                    "r:5000",
		"docker.io/r:5000/shop/app":                 "docker.io/r:5000/shop/app",
	} {
		if got := swap.image(image); got != want {
			t.Errorf("%s becomes %s, want %s", image, got, want)
		}
	}
	if asked != 3 {
		t.Errorf("%d look-ups for conversions of three images with a digest", asked)
	}
	for _, unknown := range []imageSwap{{to: "new"}, {from: "r:5000"}, {}} {
		if got := unknown.image("r:5000/shop/app"); got != "r:5000/shop/app" {
			t.Errorf("without a host on one side the image becomes %s", got)
		}
	}
}

// Every kind with a pod template has the images of all of its containers
// swapped, and keeps all other fields.
func TestWorkloads(t *testing.T) {
	const item = `
apiVersion: v1
kind: Any
metadata:
  name: app
  namespace: shop
  annotations:
    openshift.io/backup-registry-hostname: old:5000
    openshift.io/restore-registry-hostname: new:5000
spec:
  unknown: {big: 9007199254740993, list: [1, {a: null}]}
  template:
    spec:
      containers: [{name: a, image: "old:5000/shop/app:v1", other: 1}, {name: b, image: docker.io/x}, 7, {name: c, image: 5}]
      initContainers: [{name: i, image: "old:5000/shop/init@sha256:aa"}]
      ephemeralContainers: [{name: e, image: "old:5000/tools/debug"}]
`
	want := strings.NewReplacer("old:5000/shop", "new:5000/shop-copy", "old:5000/tools", "new:5000/tools").Replace(item)
	for _, name := range []string{"10-job", "11-daemonset", "12-replicaset", "13-deployment", "14-statefulset", "09-replicationcontroller"} {
		restoreCases(t, offline(t), name, []restoreCase{
			{what: name, item: item, restore: mapped, want: want},
			{what: name + " without a template", item: "kind: Any\nspec: {}", restore: mapped},
			{what: name + " with a null template", item: "kind: Any\nmetadata: {name: a}\nspec: {template: null}", restore: mapped},
			{what: name + " without hosts", item: strings.ReplaceAll(item, "registry-hostname", "other"), restore: mapped},
		})
	}
	indented := func(text string) string {
		head, spec, _ := strings.Cut(text, "spec:\n")
		return head + "spec:\n  jobTemplate:\n    spec:\n" + strings.ReplaceAll("\n"+spec, "\n", "\n    ")
	}
	restoreCases(t, offline(t), "16-cronjob", []restoreCase{{what: "cron job", item: indented(item), restore: mapped, want: indented(want)}})
}

// The image streams of internal images are restored first if that is wanted,
// each once and from the namespace that they were in.
func TestImagesBeforePods(t *testing.T) {
	const spec = `{containers: [{image: "old:5000/shop/app:v1"}, {image: "old:5000/tools/debug@sha256:aa"}, {image: "old:5000/app"}, {image: quay.io/x/y}],
initContainers: [{image: "old:5000/shop/app@sha256:bb"}]}`
	head := func(kind string) string {
		return "{kind: " + kind + ", metadata: {name: a, namespace: shop, annotations: {openshift.io/backup-registry-hostname: 'old:5000'}}, spec: "
	}
	first := []sdk.ResourceIdentifier{
		{Group: "image.openshift.io", Resource: "imagestreams", Namespace: "shop", Name: "app"},
		{Group: "image.openshift.io", Resource: "imagestreams", Namespace: "tools", Name: "debug"},
	}
	for _, c := range []struct {
		images, before string
		want           []sdk.ResourceIdentifier
	}{{"true", "true", first}, {"true", "", nil}, {"", "true", nil}, {"true", "perhaps", nil}} {
		t.Setenv("OPENSHIFT_IMAGESTREAM_BACKUP", c.images)
		t.Setenv("OPENSHIFT_IMAGES_BEFORE_PODS", c.before)
		for action, item := range map[string]string{
			"07-pod":                   head("Pod") + spec + "}",
			"08-deploymentconfig":      head("DeploymentConfig") + "{template: {spec: " + spec + "}}}",
			"09-replicationcontroller": head("ReplicationController") + "{template: {spec: " + spec + "}}}",
			"10-job":                   head("Job") + "{template: {spec: " + spec + "}}}",
			"13-deployment":            head("Deployment") + "{template: {spec: " + spec + "}}}",
			"16-cronjob":               head("CronJob") + "{jobTemplate: {spec: {template: {spec: " + spec + "}}}}}",
		} {
			a := actionsAt(t, http.NotFoundHandler()) // the backup that deployment configs ask for is gone
			result := restoreCase{what: action, item: item, restore: mapped}.run(t, a, action+"-restore")
			if !slices.Equal(sorted(result.AdditionalItems), c.want) {
				t.Errorf("%s, images %q, before pods %q: %v", action, c.images, c.before, result.AdditionalItems)
			}
		}
	}
}

func sorted(items []sdk.ResourceIdentifier) []sdk.ResourceIdentifier {
	return slices.SortedFunc(slices.Values(items), func(a, b sdk.ResourceIdentifier) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
}

func TestJobOwners(t *testing.T) {
	const job = "kind: Job\nmetadata: {name: j}\n"
	owned := func(kind string) string {
		return "kind: Job\nmetadata: {name: j, ownerReferences: [{kind: " + kind + ", name: o}]}\n"
	}
	restoreCases(t, offline(t), "10-job", []restoreCase{
		{what: "no owner", item: job},
		{what: "cron job", item: job, backup: owned("CronJob"), skip: true},
		{what: "another owner", item: job, backup: owned("Pipeline")},
	})
}

func TestReplicationControllerOwners(t *testing.T) {
	const plain = "kind: ReplicationController\nmetadata: {name: rc-1, annotations: {a: b}}\n"
	const owned = "kind: ReplicationController\nmetadata: {name: rc-1, ownerReferences: [{kind: DeploymentConfig, name: rc}]}\n"
	const paused = "kind: ReplicationController\nmetadata: {name: rc-1, annotations: {a: b, openshift.io/paused-owner-ref: \"true\"}}\n"
	restoreCases(t, offline(t), "09-replicationcontroller-restore", []restoreCase{
		{what: "no owner", item: plain},
		{what: "deployment config", item: plain, backup: owned, skip: true},
		{what: "paused deployment config", item: paused, backup: owned, want: plain},
		{what: "another owner", item: plain, backup: strings.Replace(owned, "DeploymentConfig", "Other", 1)},
	})
}
