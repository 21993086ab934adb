package velero

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gobwas/glob"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// CodeOutOfScope is the code of items that claim to be in a namespace which the
// Restore does not cover.
var CodeOutOfScope = fault.Code{
	ID:      "RESTORE_OUT_OF_SCOPE",
	Meaning: "An item of a backup claims to be in a namespace that the Restore does not include. Velero writes no such backups, so somebody has changed it in the bucket.",
	Fix:     "find out who can write to the bucket of the backup storage location, and restore from a backup that nobody has changed",
}

// Codes lists the codes of this package.
var Codes = []fault.Code{CodeOutOfScope}

// CheckScope returns an error if an item is not in a namespace that the Restore
// covers. Every action that reads or writes the cluster by itself calls it first:
// whoever can write to the bucket chooses the namespace in an item, and Velero
// puts the right one in its place only after the actions.
//
// Items without a namespace pass. An action that needs one checks that as well.
func (r *Restore) CheckScope(in sdk.RestoreInput) error {
	items := []*unstructured.Unstructured{in.Item}
	if original := BackedUp(in); original != in.Item {
		items = append(items, original)
	}
	for _, item := range items {
		namespace := item.GetNamespace()
		if namespace == "" {
			continue
		}
		if namespace != in.Item.GetNamespace() {
			return outOfScope(item, fmt.Sprintf("it was backed up in namespace %q and is restored from %q", namespace, in.Item.GetNamespace()))
		}
		if len(validation.IsDNS1123Label(namespace)) > 0 {
			return outOfScope(item, fmt.Sprintf("%q is no name of a namespace", namespace))
		}
		if len(content.IsPathSegmentName(item.GetName())) > 0 {
			return outOfScope(item, "its name would lead to another object")
		}
		if !r.Includes(namespace) {
			return outOfScope(item, fmt.Sprintf("the Restore does not include namespace %q", namespace))
		}
	}
	return nil
}

func outOfScope(item *unstructured.Unstructured, why string) error {
	return &fault.Error{Code: CodeOutOfScope, What: fmt.Sprintf("%s %q: %s", item.GetKind(), item.GetName(), why)}
}

// Includes reports whether the Restore covers a namespace of the backup.
func (r *Restore) Includes(namespace string) bool {
	if only := r.OriginNamespace(); only != "" && namespace != only {
		return false
	}
	return includes(r.Spec.IncludedNamespaces, r.Spec.ExcludedNamespaces, namespace)
}

// IncludesTarget reports whether the Restore writes to a namespace of the
// cluster: the Restore covers it, or one that is mapped to it.
func (r *Restore) IncludesTarget(namespace string) bool {
	if r.TargetNamespace(namespace) == namespace && r.Includes(namespace) {
		return true
	}
	for from, to := range r.Spec.NamespaceMapping {
		if to == namespace && r.Includes(from) {
			return true
		}
	}
	return false
}

// Includes reports whether the backup covers a namespace.
func (b *Backup) Includes(namespace string) bool {
	return includes(b.Spec.IncludedNamespaces, b.Spec.ExcludedNamespaces, namespace)
}

// includes reports whether any of the names is included, and none excluded, as
// Velero decides it. An empty list includes everything. Elements of the lists are
// names or patterns: shop, shop-*, {shop,pay}, [!a]*.
func includes(included, excluded []string, names ...string) bool {
	return (len(included) == 0 || slices.Contains(included, "*") || matchesAny(included, names)) && !matchesAny(excluded, names)
}

// matchesAny reports whether one of the patterns matches one of the names. Velero
// looks at patterns in the order of their letters, and a pattern that cannot be
// read hides those behind it.
func matchesAny(patterns, names []string) bool {
	for _, name := range names {
		for _, pattern := range slices.Sorted(slices.Values(patterns)) {
			if !strings.ContainsAny(pattern, `*?[]{}\`) {
				if pattern == name {
					return true
				}
				continue
			}
			compiled, err := glob.Compile(pattern)
			if err != nil {
				break
			}
			if compiled.Match(name) {
				return true
			}
		}
	}
	return false
}
