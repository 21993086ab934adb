package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"
)

// imageTriggers keeps restored workloads from rolling out at once. An image
// trigger replaces the image in a pod template as soon as it sees it, and the
// pods of that rollout replace those whose volumes Velero still fills and whose
// hooks still run. The triggers are restored as paused and go on when these pods
// are ready.
//
// What has to be undone is written to the workload itself, since Velero asks
// for the progress of the operation from new processes.
type imageTriggers struct{ *actions }

func (i imageTriggers) begin(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	unpause(in.Item)
	text := fields.Annotation(in.Item, api.ImageTriggersKey)
	if text == "" {
		return sdk.RestoreResult{}, nil
	}
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	triggers, err := parseTriggers(text)
	if err != nil {
		slog.Info("the annotation of image triggers cannot be read and is left alone", "item", fields.Describe(in.Item), "error", err)
		return sdk.RestoreResult{}, nil
	}
	if triggers.mapNamespaces(r.TargetNamespace) {
		text = triggers.String()
		fields.Annotate(in.Item, api.ImageTriggersKey, text)
	}
	waits, err := i.waits(r, in.Item)
	o := operation{in.Item.GroupVersionKind().GroupKind(), r.TargetNamespace(in.Item.GetNamespace()), in.Item.GetName()}
	if err != nil || !waits || !o.valid() || !triggers.pause() {
		return sdk.RestoreResult{}, err
	}
	fields.Annotate(in.Item, api.OriginalTriggersKey, text)
	fields.Annotate(in.Item, api.ImageTriggersKey, triggers.String())
	fields.SetLabel(in.Item, api.PausedTriggersLabel, r.LabelValue())
	return sdk.RestoreResult{OperationID: o.String()}, nil
}

// unpause undoes the pause of another restore, during which the backup was taken.
func unpause(item *unstructured.Unstructured) {
	if !fields.HasAnnotation(item, api.OriginalTriggersKey) {
		return
	}
	if text, changed := resumed(fields.Annotation(item, api.ImageTriggersKey), fields.Annotation(item, api.OriginalTriggersKey)); changed {
		fields.Annotate(item, api.ImageTriggersKey, text)
	}
	fields.RemoveAnnotation(item, api.OriginalTriggersKey)
	fields.RemoveAnnotation(item, api.TriggersWaitKey)
	fields.RemoveLabel(item, api.PausedTriggersLabel)
}

// waits reports whether the pods of a workload must not be replaced yet.
func (i imageTriggers) waits(r *velero.Restore, item *unstructured.Unstructured) (bool, error) {
	s, err := i.settings()
	if err != nil {
		return false, err
	}
	switch s.String(settings.Triggers) {
	case settings.TriggersOfAll:
		return true, nil
	case settings.TriggersOfNone:
		return false, nil
	}
	template := fields.MapAt(item.Object, "spec", "template")
	if template == nil {
		template = fields.MapAt(item.Object, "spec", "jobTemplate", "spec", "template")
	}
	return hasVolumes(fields.MapAt(template, "spec")) ||
		len(fields.ListAt(item.Object, "spec", "volumeClaimTemplates")) > 0 ||
		velero.HookedBy(fields.MapAt(template, "metadata", "annotations")) ||
		len(r.PostHooks(item.GetNamespace(), fields.StringMap(fields.MapAt(template, "metadata", "labels")))) > 0, nil
}

// operation names the workload whose triggers are paused.
type operation struct {
	kind            schema.GroupKind
	namespace, name string
}

func (o operation) String() string {
	return strings.Join([]string{o.kind.String(), o.namespace, o.name}, "/")
}

var triggeredKinds = map[schema.GroupKind]schema.GroupVersionResource{
	{Group: "apps", Kind: "Deployment"}:  {Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "apps", Kind: "StatefulSet"}: {Group: "apps", Version: "v1", Resource: "statefulsets"},
	{Group: "apps", Kind: "DaemonSet"}:   {Group: "apps", Version: "v1", Resource: "daemonsets"},
	{Group: "batch", Kind: "CronJob"}:    {Group: "batch", Version: "v1", Resource: "cronjobs"},
	{Group: "batch", Kind: "Job"}:        {Group: "batch", Version: "v1", Resource: "jobs"},
}

// valid reports whether the operation can be found again by its ID.
func (o operation) valid() bool {
	_, known := triggeredKinds[o.kind]
	return known && o.namespace != "" && o.name != ""
}

func parseOperation(id string) (operation, error) {
	if parts := strings.Split(id, "/"); len(parts) == 3 {
		if o := (operation{schema.ParseGroupKind(parts[0]), parts[1], parts[2]}); o.valid() {
			return o, nil
		}
	}
	return operation{}, fmt.Errorf("operation ID %s is invalid", id)
}

// paused returns the workload if its triggers are paused by this restore, else
// nil.
func (i imageTriggers) paused(ctx context.Context, o operation, r *velero.Restore) (*unstructured.Unstructured, error) {
	object, err := i.cluster.Get(ctx, triggeredKinds[o.kind], o.namespace, o.name)
	if err != nil || object == nil || fields.Label(object, api.PausedTriggersLabel) != r.LabelValue() {
		return nil, err
	}
	return object, nil
}

// RestoreProgress lets the triggers go on when the pods that Velero has restored
// are ready, and their hooks have had their time.
func (i imageTriggers) RestoreProgress(ctx context.Context, in sdk.RestoreOperation) (sdk.Progress, error) {
	o, r, err := readOperation(in.ID, in.Restore)
	if err != nil {
		return sdk.Progress{}, err
	}
	s, err := i.settings()
	if err != nil {
		return sdk.Progress{}, err
	}
	p, err := i.advance(ctx, o, r, s.Duration(settings.TriggersTime))
	if err != nil {
		// What fails now, such as a change that somebody else was faster with, is
		// tried again at the next look.
		slog.Info("image triggers stay paused for now", "workload", in.ID, "error", err)
		return sdk.Progress{Description: "image triggers are paused", Updated: time.Now()}, nil
	}
	return p, nil
}

func (i imageTriggers) advance(ctx context.Context, o operation, r *velero.Restore, waitLimit time.Duration) (sdk.Progress, error) {
	now := time.Now()
	workload, err := i.paused(ctx, o, r)
	if err != nil {
		return sdk.Progress{}, err
	}
	if workload == nil {
		return sdk.Progress{Completed: true, Description: "image triggers are not paused", Updated: now}, nil
	}
	p := sdk.Progress{Units: "pods", Description: "image triggers wait for pods", Started: workload.GetCreationTimestamp().Time, Updated: now}
	err = i.podsOf(ctx, workload, r, func(pod *unstructured.Unstructured) {
		p.Total++
		if settled(pod, r, now) {
			p.Done++
		}
	})
	if err != nil {
		return p, err
	}
	if p.Done < p.Total {
		since, err := i.waitingSince(ctx, o, workload, now)
		if err != nil {
			return p, err
		}
		if now.Sub(since) < waitLimit {
			return p, nil
		}
		slog.Warn("image triggers go on, though not all restored pods are ready", "workload", o.String(), "waited", waitLimit.String())
	}
	p.Completed, p.Description = true, "image triggers go on"
	return p, i.resume(ctx, o, workload)
}

// CancelRestore lets the triggers go on.
func (i imageTriggers) CancelRestore(ctx context.Context, in sdk.RestoreOperation) (sdk.CancelResult, error) {
	o, r, err := readOperation(in.ID, in.Restore)
	if err != nil {
		return sdk.CancelResult{}, err
	}
	return sdk.CancelResult{}, retry.OnError(retry.DefaultBackoff, isConflict, func() error {
		workload, err := i.paused(ctx, o, r)
		if err != nil || workload == nil {
			return err
		}
		return i.resume(ctx, o, workload)
	})
}

// readOperation reads the ID of an operation, which Velero keeps in the bucket:
// it counts only for a namespace that the Restore writes to.
func readOperation(id string, owner sdk.Restore) (operation, *velero.Restore, error) {
	o, err := parseOperation(id)
	if err != nil {
		return o, nil, err
	}
	r, err := velero.RestoreOf(owner)
	if err == nil && !r.IncludesTarget(o.namespace) {
		err = fmt.Errorf("operation ID %s is of namespace %q, which the Restore does not write to", id, o.namespace)
	}
	return o, r, err
}

// podsOf calls visit with the restored pods of a workload. The pods of jobs
// cannot be told from each other after a restore, so these are all of the
// namespace.
func (i imageTriggers) podsOf(ctx context.Context, workload *unstructured.Unstructured, r *velero.Restore, visit func(*unstructured.Unstructured)) error {
	selector := labels.Everything()
	if workload.GroupVersionKind().Group == "apps" {
		var declared metav1.LabelSelector
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields.MapAt(workload.Object, "spec", "selector"), &declared); err != nil {
			return err
		}
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(&declared); err != nil {
			return err
		}
	}
	restored := labels.SelectorFromSet(labels.Set{velero.RestoreLabel: r.LabelValue()})
	return i.cluster.Each(ctx, api.Pods, workload.GetNamespace(), kube.Selection{Labels: restored.String()}, func(pod *unstructured.Unstructured) {
		if selector.Matches(fields.Labels(pod)) {
			visit(pod)
		}
	})
}

// settled reports whether a pod has come to its end, or is ready for as long as
// its hooks may take. They begin when it is ready at the latest.
func settled(pod *unstructured.Unstructured, r *velero.Restore, now time.Time) bool {
	switch fields.TextAt(pod.Object, "status", "phase") {
	case "Succeeded", "Failed":
		return true
	}
	for condition := range fields.Each(fields.ListAt(pod.Object, "status", "conditions")) {
		if fields.TextAt(condition, "type") != "Ready" || fields.TextAt(condition, "status") != "True" {
			continue
		}
		ready, err := time.Parse(time.RFC3339, fields.TextAt(condition, "lastTransitionTime"))
		return err != nil || !now.Before(ready.Add(hookTime(pod, r)))
	}
	return false
}

// defaultHookTime is how long Velero lets a hook run that does not say.
const defaultHookTime = 30 * time.Second

// hookTime returns how long the hooks of a pod may run, one after the other.
func hookTime(pod *unstructured.Unstructured, r *velero.Restore) time.Duration {
	var total time.Duration
	add := func(timeout time.Duration) {
		if timeout <= 0 {
			timeout = defaultHookTime
		}
		total += timeout
	}
	if fields.HasAnnotation(pod, velero.PostHookCommandKey) {
		timeout, _ := time.ParseDuration(fields.Annotation(pod, velero.PostHookTimeoutKey)) // 0 if it cannot be read
		add(timeout)
		return total // Velero then ignores other hooks
	}
	for _, hook := range r.PostHooks(pod.GetNamespace(), fields.Labels(pod)) {
		if hook.Exec != nil {
			add(hook.Exec.ExecTimeout.Duration)
		}
	}
	return total
}

// waitingSince returns the time at which the pods were first waited for. Velero
// asks for progress when everything is restored, which may take hours.
func (i imageTriggers) waitingSince(ctx context.Context, o operation, workload *unstructured.Unstructured, now time.Time) (time.Time, error) {
	if since, err := time.Parse(time.RFC3339, fields.Annotation(workload, api.TriggersWaitKey)); err == nil {
		return since, nil
	}
	return now, i.cluster.Patch(ctx, triggeredKinds[o.kind], o.namespace, o.name, fields.Map{
		"metadata": fields.Map{"annotations": fields.Map{api.TriggersWaitKey: now.Format(time.RFC3339)}},
	})
}

// resume lets the triggers go on as they were, unless somebody has changed the
// workload since it was read.
func (i imageTriggers) resume(ctx context.Context, o operation, workload *unstructured.Unstructured) error {
	annotations := fields.Map{api.OriginalTriggersKey: nil, api.TriggersWaitKey: nil}
	if text, changed := resumed(fields.Annotation(workload, api.ImageTriggersKey), fields.Annotation(workload, api.OriginalTriggersKey)); changed {
		annotations[api.ImageTriggersKey] = text
	}
	return i.cluster.Patch(ctx, triggeredKinds[o.kind], o.namespace, o.name, fields.Map{"metadata": fields.Map{
		"resourceVersion": workload.GetResourceVersion(),
		"labels":          fields.Map{api.PausedTriggersLabel: nil},
		"annotations":     annotations,
	}})
}

func isConflict(err error) bool { return apierrors.IsConflict(err) }
