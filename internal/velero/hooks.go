package velero

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// HookResource is an element of spec.hooks.resources of a Restore.
type HookResource struct {
	IncludedNamespaces, ExcludedNamespaces []string
	IncludedResources, ExcludedResources   []string
	LabelSelector                          *metav1.LabelSelector
	PostHooks                              []PostHook
}

// PostHook is an element of postHooks.
type PostHook struct {
	Exec *struct {
		ExecTimeout metav1.Duration
	}
	Init *struct{}
}

// HookedBy reports whether annotations ask for a hook when the pod is restored.
func HookedBy(annotations map[string]any) bool {
	_, command := annotations[PostHookCommandKey]
	_, container := annotations[InitHookImageKey]
	return command || container
}

// PostHooks returns the hooks of the Restore that run in a pod. Namespaces of
// hooks may be those of the backup or those that are restored to.
func (r *Restore) PostHooks(namespace string, podLabels labels.Set) []PostHook {
	var hooks []PostHook
	for _, h := range r.Spec.Hooks.Resources {
		selected := includes(h.IncludedNamespaces, h.ExcludedNamespaces, namespace, r.TargetNamespace(namespace)) &&
			includes(h.IncludedResources, h.ExcludedResources, "pods", "pod", "po")
		if selected && matches(h.LabelSelector, podLabels) {
			hooks = append(hooks, h.PostHooks...)
		}
	}
	return hooks
}

// matches reports whether a selector selects labels. Without a selector all are;
// a selector that cannot be read, which Velero refuses too, selects none.
func matches(selector *metav1.LabelSelector, podLabels labels.Set) bool {
	if selector == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(podLabels)
}
