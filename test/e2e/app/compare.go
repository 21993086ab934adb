package app

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// Ignored is a field that a comparison leaves out, and why. Nothing else is
// left out.
type Ignored struct {
	// Kind limits the rule to one kind.
	Kind string
	// Path is a path of field names; a name ending in [] is a list, of which
	// the rest applies to every element.
	Path []string
	// Except is a value that is compared all the same.
	Except string
	Why    string
}

// IgnoredFields are the fields that the API server, a controller or Velero
// owns.
func IgnoredFields() []Ignored {
	return []Ignored{
		{Path: []string{"metadata", "uid"}, Why: "new for every object"},
		{Path: []string{"metadata", "resourceVersion"}, Why: "counts writes to etcd"},
		{Path: []string{"metadata", "creationTimestamp"}, Why: "set by the API server"},
		{Path: []string{"metadata", "generation"}, Why: "counts changes of the spec"},
		{Path: []string{"metadata", "managedFields"}, Why: "tells who wrote which field"},
		{Path: []string{"metadata", "ownerReferences[]", "uid"}, Why: "the new uid of the owner; kind and name are compared"},
		{Path: []string{"metadata", "labels", "velero.io/backup-name"}, Why: "added by Velero on restore"},
		{Path: []string{"metadata", "labels", "velero.io/restore-name"}, Why: "added by Velero on restore"},
		{Kind: "Pod", Path: []string{"metadata", "generateName"}, Why: "used up when the name was made; Velero restores the name"},
		{Path: []string{"status"}, Why: "observed by controllers, not restored"},
		{Kind: "Service", Path: []string{"spec", "clusterIP"}, Except: "None", Why: "allocated by the API server"},
		{Kind: "Service", Path: []string{"spec", "clusterIPs"}, Except: "[None]", Why: "allocated by the API server"},
	}
}

func (i Ignored) String() string {
	kind := i.Kind
	if kind == "" {
		kind = "every kind"
	}
	field := strings.Join(i.Path, ".")
	if i.Except != "" {
		field += " (unless " + i.Except + ")"
	}
	return fmt.Sprintf("%-11s %-45s %s", kind, field, i.Why)
}

// Difference is one object that is not the same in two snapshots.
type Difference struct {
	Object string
	Fields []string // what differs in it
}

func (d Difference) String() string {
	return d.Object + ":\n\t" + strings.Join(d.Fields, "\n\t")
}

// Compare returns the objects of two snapshots that differ in any field that
// is not ignored, those in only one of them included.
func Compare(before, after Snapshot) []Difference {
	var differences []Difference
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] == nil {
			differences = append(differences, Difference{name, []string{"missing"}})
			continue
		}
		d := differ{show: abridge}
		if before[name].GetKind() == "Secret" {
			d.show = hide
		}
		d.diff("", strip(before[name]), strip(after[name]))
		if len(d.changed) > 0 {
			differences = append(differences, Difference{name, d.changed})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] == nil {
			differences = append(differences, Difference{name, []string{"was not there before"}})
		}
	}
	return differences
}

// AwaitIdentical compares the application with a snapshot until both are the
// same or ctx ends: after a restore the controllers adopt what is theirs. It
// returns the last differences.
func (a *App) AwaitIdentical(ctx context.Context, before Snapshot) ([]Difference, error) {
	var differences []Difference
	var failure error
	err := stack.Await(ctx, func() error {
		after, err := a.Snapshot(ctx)
		if failure = err; err != nil {
			return err
		}
		if differences = Compare(before, after); len(differences) > 0 {
			return fmt.Errorf("%d objects differ", len(differences))
		}
		return nil
	})
	if err == nil || len(differences) > 0 {
		return differences, nil
	}
	return nil, failure
}

// strip returns a copy of an object without the ignored fields.
func strip(object *unstructured.Unstructured) map[string]any {
	fields := object.DeepCopy().Object
	for _, rule := range IgnoredFields() {
		if rule.Kind == "" || rule.Kind == object.GetKind() {
			remove(fields, rule.Path, rule.Except)
		}
	}
	return fields
}

func remove(fields map[string]any, path []string, except string) {
	name, isList := strings.CutSuffix(path[0], "[]")
	value, found := fields[name]
	switch {
	case !found || except != "" && fmt.Sprint(value) == except:
	case len(path) == 1:
		delete(fields, name)
	case isList:
		elements, _ := value.([]any)
		for _, element := range elements {
			if inner, ok := element.(map[string]any); ok {
				remove(inner, path[1:], except)
			}
		}
	default:
		if inner, ok := value.(map[string]any); ok {
			remove(inner, path[1:], except)
			// A map that holds nothing else was made for the field.
			if len(inner) == 0 {
				delete(fields, name)
			}
		}
	}
}

// differ collects the paths at which two values differ.
type differ struct {
	show    func(any) string
	changed []string
}

func (d *differ) diff(path string, before, after any) {
	left, leftIsMap := before.(map[string]any)
	right, rightIsMap := after.(map[string]any)
	if !leftIsMap || !rightIsMap {
		if !reflect.DeepEqual(before, after) {
			d.add("%s: %s, was %s", path, d.show(after), d.show(before))
		}
		return
	}
	names := maps.Clone(left)
	maps.Copy(names, right)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, inLeft := left[name]
		is, inRight := right[name]
		at := path + "." + name
		switch {
		case !inLeft:
			d.add("%s: %s, was absent", at, d.show(is))
		case !inRight:
			d.add("%s: absent, was %s", at, d.show(was))
		default:
			d.diff(at, was, is)
		}
	}
}

func (d *differ) add(format string, args ...any) {
	d.changed = append(d.changed, fmt.Sprintf(format, args...))
}

func abridge(value any) string {
	const most = 120
	text := fmt.Sprintf("%#v", value)
	if len(text) > most {
		return fmt.Sprintf("%s... (%d bytes)", text[:most], len(text))
	}
	return text
}

// hide stands in for abridge in secrets.
func hide(value any) string { return fmt.Sprintf("a value of %d bytes", len(fmt.Sprint(value))) }
