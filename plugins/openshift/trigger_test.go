package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const (
	webTrigger    = `[{"from":{"kind":"ImageStreamTag","name":"app:v1","namespace":"shop"},"fieldPath":"spec.template.spec.containers[?(@.name==\"web\")].image"}]`
	mappedTrigger = `[{"fieldPath":"spec.template.spec.containers[?(@.name==\"web\")].image","from":{"kind":"ImageStreamTag","name":"app:v1","namespace":"copy"}}]`
	pausedTrigger = `[{"fieldPath":"spec.template.spec.containers[?(@.name==\"web\")].image","from":{"kind":"ImageStreamTag","name":"app:v1","namespace":"copy"},"paused":true}]`
)

// deployment is a Deployment with that annotation and template.
func deployment(trigger, more, template string) string {
	return fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop, annotations: {image.openshift.io/triggers: '%s'%s}}, spec: {template: {%s}}}",
		trigger, more, template)
}

func pausedDeployment(trigger, original, template string) string {
	text := deployment(trigger, ", oadp.openshift.io/original-image-triggers: '"+original+"'", template)
	return strings.Replace(text, "namespace: shop, ", "namespace: shop, labels: {oadp.openshift.io/image-triggers-paused-by: r}, ", 1)
}

// Triggers of what has volumes or hooks are paused; those of other workloads
// follow the namespace and nothing else.
func TestTriggersArePaused(t *testing.T) {
	const (
		restore = "{metadata: {name: r}, spec: {namespaceMapping: {shop: copy}}}"
		plain   = "{metadata: {name: r}}"
		volume  = "spec: {volumes: [{name: v, emptyDir: {}}]}"
		id      = "Deployment.apps/copy/web"
	)
	type scenario struct {
		restoreCase
		operation string
	}
	for setting, cases := range map[string][]scenario{
		"": {
			{restoreCase{what: "volumes", restore: restore, item: deployment(webTrigger, "", volume), want: pausedDeployment(pausedTrigger, mappedTrigger, volume)}, id},
			{restoreCase{what: "no volumes", restore: restore, item: deployment(webTrigger, "", "spec: {}"), want: deployment(mappedTrigger, "", "spec: {}")}, ""},
			{restoreCase{what: "nothing to map", restore: plain, item: deployment(webTrigger, "", "spec: {}")}, ""},
			{restoreCase{what: "the annotation itself is kept", restore: plain, item: deployment(webTrigger, "", volume),
				want: pausedDeployment(strings.ReplaceAll(pausedTrigger, "copy", "shop"), webTrigger, volume)}, "Deployment.apps/shop/web"},
			{restoreCase{what: "hook of the pods", restore: plain, item: deployment("[{}]", "", "metadata: {annotations: {post.hook.restore.velero.io/command: x}}"),
				want: pausedDeployment(`[{"paused":true}]`, "[{}]", "metadata: {annotations: {post.hook.restore.velero.io/command: x}}")}, "Deployment.apps/shop/web"},
			{restoreCase{what: "hook of the restore", restore: "{metadata: {name: r}, spec: {hooks: {resources: [{labelSelector: {matchLabels: {a: b}}, postHooks: [{exec: {}}]}]}}}",
				item: deployment("[{}]", "", "metadata: {labels: {a: b}}"), want: pausedDeployment(`[{"paused":true}]`, "[{}]", "metadata: {labels: {a: b}}")}, "Deployment.apps/shop/web"},
			{restoreCase{what: "backed up while another restore had paused it", restore: plain,
				item: strings.Replace(pausedDeployment(`[{"paused":true}]`, "[{}]", "spec: {}"), "paused-by: r", "paused-by: other", 1),
				want: deployment("[{}]", "", "spec: {}")}, ""},
			{restoreCase{what: "the same with volumes", restore: plain,
				item: strings.Replace(pausedDeployment(`[{"paused":true}]`, "[{}]", volume), "paused-by: r", "paused-by: other", 1),
				want: pausedDeployment(`[{"paused":true}]`, "[{}]", volume)}, "Deployment.apps/shop/web"},
			{restoreCase{what: "paused already", restore: plain, item: deployment(`[{"paused":true}]`, "", volume)}, ""},
			{restoreCase{what: "no list", restore: restore, item: deployment(`{"a":1}`, "", volume)}, ""},
			{restoreCase{what: "no JSON", restore: restore, item: deployment(`[{`, "", volume)}, ""},
			{restoreCase{what: "more than a list", restore: restore, item: deployment(`[{}] [{}]`, "", volume)}, ""},
			{restoreCase{what: "void", restore: restore, item: deployment(`[{"paused":"false"}]`, "", volume)}, ""},
			{restoreCase{what: "null", restore: restore, item: deployment(`[null]`, "", volume)}, ""},
			{restoreCase{what: "no trigger", restore: restore, item: "{apiVersion: apps/v1, kind: Deployment, spec: {template: {" + volume + "}}}"}, ""},
			{restoreCase{what: "claims of a stateful set", restore: plain,
				item: "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s, namespace: ns, annotations: {image.openshift.io/triggers: '[{}]'}}, spec: {volumeClaimTemplates: [{}]}}",
				want: `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s, namespace: ns, labels: {oadp.openshift.io/image-triggers-paused-by: r}, annotations: {image.openshift.io/triggers: '[{"paused":true}]', oadp.openshift.io/original-image-triggers: '[{}]'}}, spec: {volumeClaimTemplates: [{}]}}`}, "StatefulSet.apps/ns/s"},
			{restoreCase{what: "cron job", restore: plain,
				item: "{apiVersion: batch/v1, kind: CronJob, metadata: {name: s, namespace: ns, annotations: {image.openshift.io/triggers: '[{}]'}}, spec: {jobTemplate: {spec: {template: {" + volume + "}}}}}",
				want: `{apiVersion: batch/v1, kind: CronJob, metadata: {name: s, namespace: ns, labels: {oadp.openshift.io/image-triggers-paused-by: r}, annotations: {image.openshift.io/triggers: '[{"paused":true}]', oadp.openshift.io/original-image-triggers: '[{}]'}}, spec: {jobTemplate: {spec: {template: {` + volume + `}}}}}`}, "CronJob.batch/ns/s"},
		},
		"all": {
			{restoreCase{what: "all", restore: restore, item: deployment(webTrigger, "", "spec: {}"), want: pausedDeployment(pausedTrigger, mappedTrigger, "spec: {}")}, id},
		},
		"none": {
			{restoreCase{what: "none", restore: restore, item: deployment(webTrigger, "", volume), want: deployment(mappedTrigger, "", volume)}, ""},
		},
		"some": {
			{restoreCase{what: "bad setting", restore: restore, item: deployment(webTrigger, "", volume), err: "OPENSHIFT_PAUSE_IMAGE_TRIGGERS"}, ""},
		},
	} {
		t.Setenv("OPENSHIFT_PAUSE_IMAGE_TRIGGERS", setting)
		for _, c := range cases {
			if result := c.run(t, offline(t), "27-image-trigger"); result.OperationID != c.operation {
				t.Errorf("%s: operation %q, want %q", c.what, result.OperationID, c.operation)
			}
		}
	}
}

func TestResumedTriggers(t *testing.T) {
	const two = `[{"fieldPath":"a","from":{"name":"x:1"}},{"fieldPath":"b","from":{"name":"x:1"},"paused":true}]`
	for _, c := range []struct{ what, current, original, want string }{
		{"untouched", `[{"fieldPath":"a","from":{"name":"x:1"},"paused":true},{"fieldPath":"b","from":{"name":"x:1"},"paused":true}]`, two, two},
		{"untouched, written another way", `[ {"fieldPath":"a", "from":{"name":"x:1"}} ]`, `[{"fieldPath":"a","from":{"name":"x:1"}}]`, `[{"fieldPath":"a","from":{"name":"x:1"}}]`},
		{"a trigger was added", `[{"fieldPath":"a","from":{"name":"x:1"},"paused":true},{"fieldPath":"c","paused":true}]`, two,
			`[{"fieldPath":"a","from":{"name":"x:1"}},{"fieldPath":"c","paused":true}]`},
		{"a trigger was turned to another image", `[{"fieldPath":"a","from":{"name":"y:1"},"paused":true}]`, two, `[{"fieldPath":"a","from":{"name":"y:1"},"paused":true}]`},
		{"no JSON any more", "x", two, "x"},
		{"odd fields", `[{"fieldPath":{},"from":[],"paused":true}]`, `[{"fieldPath":{},"from":[]}]`, `[{"fieldPath":{},"from":[]}]`},
		{"no original", `[{"paused":true}]`, "", `[{"paused":true}]`},
	} {
		text, changed := resumed(c.current, c.original)
		if !changed {
			text = c.current
		}
		if text != c.want && !sameJSON(text, c.want) {
			t.Errorf("%s: %s, want %s", c.what, text, c.want)
		}
	}
}

func sameJSON(x, y string) bool {
	var a, b any
	if json.Unmarshal([]byte(x), &a) != nil || json.Unmarshal([]byte(y), &b) != nil {
		return false
	}
	return fmt.Sprint(a) == fmt.Sprint(b)
}

// triggerRun is a restored deployment with a paused trigger in the cluster.
type triggerRun struct {
	site
	namespace  string
	deployment *unstructured.Unstructured
}

func newTriggerRun(t *testing.T) triggerRun {
	s := openShift(t)
	run := triggerRun{site: s, namespace: s.cluster.NewNamespace(t)}
	run.deployment = s.create(strings.ReplaceAll(`
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: NS
  labels: {oadp.openshift.io/image-triggers-paused-by: r, velero.io/restore-name: r}
  annotations: {image.openshift.io/triggers: '[{"paused":true}]', oadp.openshift.io/original-image-triggers: '[ {} ]', other: x}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a, image: a}]}}`, "NS", run.namespace))[0]
	return run
}

// pod makes a restored pod of the deployment.
func (r triggerRun) pod(name, labels, annotations string) *unstructured.Unstructured {
	return r.create(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s, labels: {%s}, annotations: {%s}}, spec: {containers: [{name: a, image: a}]}}",
		name, r.namespace, labels, annotations))[0]
}

func (r triggerRun) status(pod *unstructured.Unstructured, status string) {
	r.t.Helper()
	_, err := r.resource(pod).Patch(r.t.Context(), pod.GetName(), types.MergePatchType, fieldstest.JSON(r.t, "status: "+status), metav1.PatchOptions{}, "status")
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r triggerRun) change(patch string) {
	r.t.Helper()
	_, err := r.resource(r.deployment).Patch(r.t.Context(), "web", types.MergePatchType, fieldstest.JSON(r.t, patch), metav1.PatchOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
}

// progress asks a new process, so to speak, which has no memory.
func (r triggerRun) progress(want bool) {
	r.t.Helper()
	operations := find[sdk.RestoreOperations](r.t, openShift(r.t).actions, "27-image-trigger")
	p, err := operations.RestoreProgress(r.t.Context(), sdk.RestoreOperation{ID: "Deployment.apps/" + r.namespace + "/web", Restore: sdk.NewRestore(fieldstest.JSON(r.t, "{metadata: {name: r}}"))})
	if err != nil || p.Completed != want || p.Err != "" || p.Updated.IsZero() {
		r.t.Errorf("progress: %+v, %v", p, err)
	}
}

func (r triggerRun) cancel() {
	r.t.Helper()
	operations := find[sdk.RestoreOperations](r.t, openShift(r.t).actions, "27-image-trigger")
	if _, err := operations.CancelRestore(r.t.Context(), sdk.RestoreOperation{ID: "Deployment.apps/" + r.namespace + "/web", Restore: sdk.NewRestore(fieldstest.JSON(r.t, "{metadata: {name: r}}"))}); err != nil {
		r.t.Error(err)
	}
}

// mustBe compares the annotation of the deployment, and expects that nothing
// else is left of the pause when it is over.
func (r triggerRun) mustBe(triggers string) {
	r.t.Helper()
	now := r.get(r.deployment)
	if got := fields.Annotation(now, api.ImageTriggersKey); got != triggers {
		r.t.Errorf("triggers are %s, want %s", got, triggers)
	}
	over := !fields.HasAnnotation(now, api.OriginalTriggersKey) && !fields.HasAnnotation(now, api.TriggersWaitKey) && fields.Label(now, api.PausedTriggersLabel) == ""
	if over != (triggers != `[{"paused":true}]`) || fields.Annotation(now, "other") != "x" {
		r.t.Errorf("metadata are %v", now.Object["metadata"])
	}
}

const restoredWeb = "app: web, velero.io/restore-name: r"

func readySince(when time.Time) string {
	return fmt.Sprintf("{phase: Running, conditions: [{type: Ready, status: 'True', lastTransitionTime: '%s'}]}", when.UTC().Format(time.RFC3339))
}

func testTriggers(t *testing.T) {
	const paused, original = `[{"paused":true}]`, "[ {} ]"
	t.Run("pods become ready", func(t *testing.T) {
		r := newTriggerRun(t)
		pod := r.pod("web-1", restoredWeb, "")
		r.pod("stranger", "app: other, velero.io/restore-name: r", "")
		r.pod("new", "app: web", "")
		r.progress(false)
		r.mustBe(paused)
		r.status(pod, "{phase: Running, conditions: [{type: Ready, status: 'False'}]}")
		r.progress(false)
		r.mustBe(paused)
		r.status(pod, readySince(time.Now()))
		r.progress(true)
		r.mustBe(original)
		r.progress(true)
		r.mustBe(original)
	})
	t.Run("no pods", func(t *testing.T) {
		r := newTriggerRun(t)
		r.progress(true)
		r.mustBe(original)
	})
	t.Run("pods are over", func(t *testing.T) {
		r := newTriggerRun(t)
		r.status(r.pod("done", restoredWeb, ""), "{phase: Succeeded}")
		r.status(r.pod("failed", restoredWeb, ""), "{phase: Failed}")
		r.progress(true)
		r.mustBe(original)
	})
	t.Run("hooks have their time", func(t *testing.T) {
		r := newTriggerRun(t)
		pod := r.pod("web-1", restoredWeb, "post.hook.restore.velero.io/command: x, post.hook.restore.velero.io/exec-timeout: 10m")
		r.status(pod, readySince(time.Now().Add(-5*time.Minute)))
		r.progress(false)
		r.mustBe(paused)
		r.status(pod, readySince(time.Now().Add(-11*time.Minute)))
		r.progress(true)
		r.mustBe(original)
	})
	t.Run("pods never become ready", func(t *testing.T) {
		r := newTriggerRun(t)
		r.pod("web-1", restoredWeb, "")
		r.change("metadata: {annotations: {oadp.openshift.io/image-triggers-wait-since: '" + time.Now().Add(-59*time.Minute).Format(time.RFC3339) + "'}}")
		r.progress(false)
		r.mustBe(paused)
		r.change("metadata: {annotations: {oadp.openshift.io/image-triggers-wait-since: '" + time.Now().Add(-61*time.Minute).Format(time.RFC3339) + "'}}")
		r.progress(true)
		r.mustBe(original)
	})
	t.Run("cancelled", func(t *testing.T) {
		r := newTriggerRun(t)
		r.pod("web-1", restoredWeb, "")
		r.progress(false)
		r.cancel()
		r.mustBe(original)
		r.progress(true)
		r.cancel()
	})
	t.Run("edited meanwhile", func(t *testing.T) {
		r := newTriggerRun(t)
		r.change(`metadata: {annotations: {image.openshift.io/triggers: '[{"fieldPath":"mine"}]'}}`)
		r.progress(true)
		r.mustBe(`[{"fieldPath":"mine"}]`)
	})
	t.Run("removed meanwhile", func(t *testing.T) {
		r := newTriggerRun(t)
		r.change(`metadata: {annotations: {image.openshift.io/triggers: null}}`)
		r.progress(true)
		r.mustBe("")
	})
	t.Run("paused by another restore", func(t *testing.T) {
		r := newTriggerRun(t)
		r.change("metadata: {labels: {oadp.openshift.io/image-triggers-paused-by: later}}")
		r.progress(true)
		r.cancel()
		if got := fields.Annotation(r.get(r.deployment), api.ImageTriggersKey); got != paused {
			t.Errorf("triggers are %s", got)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		r := newTriggerRun(t)
		if err := r.resource(r.deployment).Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		r.progress(true)
		r.cancel()
	})
	t.Run("unknown operation", func(t *testing.T) {
		operations := find[sdk.RestoreOperations](t, openShift(t).actions, "27-image-trigger")
		for _, id := range []string{"", "x", "Deployment.apps/a", "Deployment.apps//a", "Secret/a/b", "Deployment.apps/a/b/c"} {
			if _, err := operations.RestoreProgress(t.Context(), sdk.RestoreOperation{ID: id, Restore: sdk.NewRestore([]byte("{}"))}); err == nil {
				t.Errorf("the progress of %q is no error", id)
			}
		}
	})
}
