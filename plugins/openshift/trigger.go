package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
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
	text := annotation(in.Item, imageTriggersKey)
	if text == "" {
		return sdk.RestoreResult{}, nil
	}
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	triggers, err := parseTriggers(text)
	if err != nil {
		slog.Info("the annotation of image triggers cannot be read and is left alone", "item", describe(in.Item), "error", err)
		return sdk.RestoreResult{}, nil
	}
	if triggers.mapNamespaces(r.target) {
		text = triggers.String()
		annotate(in.Item, imageTriggersKey, text)
	}
	waits, err := i.waits(r, in.Item)
	o := operation{in.Item.GroupVersionKind().GroupKind(), r.target(in.Item.GetNamespace()), in.Item.GetName()}
	if err != nil || !waits || !o.valid() || !triggers.pause() {
		return sdk.RestoreResult{}, err
	}
	annotate(in.Item, originalTriggersKey, text)
	annotate(in.Item, imageTriggersKey, triggers.String())
	setLabel(in.Item, pausedTriggersLabel, r.labelValue())
	return sdk.RestoreResult{OperationID: o.String()}, nil
}

// unpause undoes the pause of another restore, during which the backup was taken.
func unpause(item *unstructured.Unstructured) {
	if !hasAnnotation(item, originalTriggersKey) {
		return
	}
	if text, changed := resumed(annotation(item, imageTriggersKey), annotation(item, originalTriggersKey)); changed {
		annotate(item, imageTriggersKey, text)
	}
	removeAnnotation(item, originalTriggersKey)
	removeAnnotation(item, triggersWaitKey)
	removeLabel(item, pausedTriggersLabel)
}

// waits reports whether the pods of a workload must not be replaced yet.
func (i imageTriggers) waits(r *restore, item *unstructured.Unstructured) (bool, error) {
	s, err := i.settings()
	if err != nil {
		return false, err
	}
	switch s.String(triggersSetting) {
	case triggersOfAll:
		return true, nil
	case triggersOfNone:
		return false, nil
	}
	template := fieldsAt(item.Object, "spec", "template")
	if template == nil {
		template = fieldsAt(item.Object, "spec", "jobTemplate", "spec", "template")
	}
	return hasVolumes(fieldsAt(template, "spec")) ||
		len(listAt(item.Object, "spec", "volumeClaimTemplates")) > 0 ||
		hookedBy(fieldsAt(template, "metadata", "annotations")) ||
		len(r.postHooks(item.GetNamespace(), stringMap(fieldsAt(template, "metadata", "labels")))) > 0, nil
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
func (i imageTriggers) paused(ctx context.Context, o operation, r *restore) (*unstructured.Unstructured, error) {
	object, err := i.cluster.Get(ctx, triggeredKinds[o.kind], o.namespace, o.name)
	if err != nil || object == nil || label(object, pausedTriggersLabel) != r.labelValue() {
		return nil, err
	}
	return object, nil
}

// RestoreProgress lets the triggers go on when the pods that Velero has restored
// are ready, and their hooks have had their time.
func (i imageTriggers) RestoreProgress(ctx context.Context, operationID string, owner *sdk.Restore) (sdk.Progress, error) {
	o, r, err := readOperation(operationID, owner)
	if err != nil {
		return sdk.Progress{}, err
	}
	s, err := i.settings()
	if err != nil {
		return sdk.Progress{}, err
	}
	p, err := i.advance(ctx, o, r, s.Duration(triggersTimeSetting))
	if err != nil {
		// What fails now, such as a change that somebody else was faster with, is
		// tried again at the next look.
		slog.Info("image triggers stay paused for now", "workload", operationID, "error", err)
		return sdk.Progress{Description: "image triggers are paused", Updated: time.Now()}, nil
	}
	return p, nil
}

func (i imageTriggers) advance(ctx context.Context, o operation, r *restore, patience time.Duration) (sdk.Progress, error) {
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
		if now.Sub(since) < patience {
			return p, nil
		}
		slog.Warn("image triggers go on, though not all restored pods are ready", "workload", o.String(), "waited", patience.String())
	}
	p.Completed, p.Description = true, "image triggers go on"
	return p, i.resume(ctx, o, workload)
}

// CancelRestore lets the triggers go on.
func (i imageTriggers) CancelRestore(ctx context.Context, operationID string, owner *sdk.Restore) error {
	o, r, err := readOperation(operationID, owner)
	if err != nil {
		return err
	}
	return retry.OnError(retry.DefaultBackoff, isConflict, func() error {
		workload, err := i.paused(ctx, o, r)
		if err != nil || workload == nil {
			return err
		}
		return i.resume(ctx, o, workload)
	})
}

func readOperation(id string, owner *sdk.Restore) (operation, *restore, error) {
	o, err := parseOperation(id)
	if err != nil {
		return o, nil, err
	}
	r, err := restoreOf(owner)
	return o, r, err
}

// podsOf calls visit with the restored pods of a workload. The pods of jobs
// cannot be told from each other after a restore, so these are all of the
// namespace.
func (i imageTriggers) podsOf(ctx context.Context, workload *unstructured.Unstructured, r *restore, visit func(*unstructured.Unstructured)) error {
	selector := labels.Everything()
	if workload.GroupVersionKind().Group == "apps" {
		var declared metav1.LabelSelector
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fieldsAt(workload.Object, "spec", "selector"), &declared); err != nil {
			return err
		}
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(&declared); err != nil {
			return err
		}
	}
	restored := labels.SelectorFromSet(labels.Set{veleroRestoreLabel: r.labelValue()})
	return i.cluster.Each(ctx, pods, workload.GetNamespace(), kube.Selection{Labels: restored.String()}, func(pod *unstructured.Unstructured) {
		if selector.Matches(labelsOf(pod)) {
			visit(pod)
		}
	})
}

// settled reports whether a pod has come to its end, or is ready for as long as
// its hooks may take. They begin when it is ready at the latest.
func settled(pod *unstructured.Unstructured, r *restore, now time.Time) bool {
	switch textAt(pod.Object, "status", "phase") {
	case "Succeeded", "Failed":
		return true
	}
	for condition := range each(listAt(pod.Object, "status", "conditions")) {
		if textAt(condition, "type") != "Ready" || textAt(condition, "status") != "True" {
			continue
		}
		ready, err := time.Parse(time.RFC3339, textAt(condition, "lastTransitionTime"))
		return err != nil || !now.Before(ready.Add(hookTime(pod, r)))
	}
	return false
}

// defaultHookTime is how long Velero lets a hook run that does not say.
const defaultHookTime = 30 * time.Second

// hookTime returns how long the hooks of a pod may run, one after the other.
func hookTime(pod *unstructured.Unstructured, r *restore) time.Duration {
	var total time.Duration
	add := func(timeout time.Duration) {
		if timeout <= 0 {
			timeout = defaultHookTime
		}
		total += timeout
	}
	if hasAnnotation(pod, postHookCommandKey) {
		timeout, _ := time.ParseDuration(annotation(pod, postHookTimeoutKey)) // 0 if it cannot be read
		add(timeout)
		return total // Velero then heeds no other hooks
	}
	for _, hook := range r.postHooks(pod.GetNamespace(), labelsOf(pod)) {
		if hook.Exec != nil {
			add(hook.Exec.ExecTimeout.Duration)
		}
	}
	return total
}

// waitingSince returns the time at which the pods were first waited for. Velero
// asks for progress when everything is restored, which may take hours.
func (i imageTriggers) waitingSince(ctx context.Context, o operation, workload *unstructured.Unstructured, now time.Time) (time.Time, error) {
	if since, err := time.Parse(time.RFC3339, annotation(workload, triggersWaitKey)); err == nil {
		return since, nil
	}
	return now, i.cluster.Patch(ctx, triggeredKinds[o.kind], o.namespace, o.name, fields{
		"metadata": fields{"annotations": fields{triggersWaitKey: now.Format(time.RFC3339)}},
	})
}

// resume lets the triggers go on as they were, unless somebody has changed the
// workload since it was read.
func (i imageTriggers) resume(ctx context.Context, o operation, workload *unstructured.Unstructured) error {
	annotations := fields{originalTriggersKey: nil, triggersWaitKey: nil}
	if text, changed := resumed(annotation(workload, imageTriggersKey), annotation(workload, originalTriggersKey)); changed {
		annotations[imageTriggersKey] = text
	}
	return i.cluster.Patch(ctx, triggeredKinds[o.kind], o.namespace, o.name, fields{"metadata": fields{
		"resourceVersion": workload.GetResourceVersion(),
		"labels":          fields{pausedTriggersLabel: nil},
		"annotations":     annotations,
	}})
}

func isConflict(err error) bool { return apierrors.IsConflict(err) }
