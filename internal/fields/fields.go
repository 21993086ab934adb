package fields

import (
	"iter"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// Map is a decoded JSON object.
type Map = map[string]any

// At returns the value at a path, or nil.
func At(object Map, path ...string) any {
	var v any = object
	for _, name := range path {
		inner, ok := v.(Map)
		if !ok {
			return nil
		}
		v = inner[name]
	}
	return v
}

// MapAt returns the object at a path, or nil.
func MapAt(object Map, path ...string) Map {
	inner, _ := At(object, path...).(Map)
	return inner
}

// ListAt returns the list at a path, or nil.
func ListAt(object Map, path ...string) []any {
	list, _ := At(object, path...).([]any)
	return list
}

// TextAt returns the string at a path, or "".
func TextAt(object Map, path ...string) string {
	text, _ := At(object, path...).(string)
	return text
}

// BoolAt returns the boolean at a path, or false.
func BoolAt(object Map, path ...string) bool {
	value, _ := At(object, path...).(bool)
	return value
}

// Each yields the elements of a list that are objects.
func Each(list []any) iter.Seq[Map] {
	return func(yield func(Map) bool) {
		for _, element := range list {
			if inner, ok := element.(Map); ok && !yield(inner) {
				return
			}
		}
	}
}

// Texts yields the elements of a list that are strings.
func Texts(list []any) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, element := range list {
			if text, ok := element.(string); ok && !yield(text) {
				return
			}
		}
	}
}

// EditText replaces a string of an object if it is there.
func EditText(object Map, name string, edit func(string) string) {
	if text, ok := object[name].(string); ok && text != "" {
		object[name] = edit(text)
	}
}

// EditTexts replaces the strings of a list.
func EditTexts(list []any, edit func(string) string) {
	for i, element := range list {
		if text, ok := element.(string); ok {
			list[i] = edit(text)
		}
	}
}

// Annotation returns the value of an annotation, or "".
func Annotation(item *unstructured.Unstructured, key string) string {
	return TextAt(item.Object, "metadata", "annotations", key)
}

// HasAnnotation reports whether an item has an annotation, which may be empty.
func HasAnnotation(item *unstructured.Unstructured, key string) bool {
	_, ok := MapAt(item.Object, "metadata", "annotations")[key]
	return ok
}

// Annotate sets an annotation.
func Annotate(item *unstructured.Unstructured, key, value string) {
	SetMeta(item, "annotations", key, value)
}

// RemoveAnnotation removes an annotation, and the map of annotations with the last one.
func RemoveAnnotation(item *unstructured.Unstructured, key string) {
	removeMeta(item, "annotations", key)
}

// Label returns the value of a label, or "".
func Label(item *unstructured.Unstructured, key string) string {
	return TextAt(item.Object, "metadata", "labels", key)
}

// HasLabel reports whether a label is there, with any value.
func HasLabel(item *unstructured.Unstructured, key string) bool {
	_, ok := MapAt(item.Object, "metadata", "labels")[key]
	return ok
}

// SetLabel sets a label.
func SetLabel(item *unstructured.Unstructured, key, value string) {
	SetMeta(item, "labels", key, value)
}

// RemoveLabel removes a label, and the map of labels with the last one.
func RemoveLabel(item *unstructured.Unstructured, key string) {
	removeMeta(item, "labels", key)
}

// SetMeta sets an entry of a map in the metadata: "labels" or "annotations".
func SetMeta(item *unstructured.Unstructured, field, key, value string) {
	metadata := Child(item.Object, "metadata")
	if metadata == nil {
		return
	}
	if entries := Child(metadata, field); entries != nil {
		entries[key] = value
	}
}

// removeMeta removes an entry, and the map with the last one.
func removeMeta(item *unstructured.Unstructured, field, key string) {
	metadata := MapAt(item.Object, "metadata")
	entries := MapAt(metadata, field)
	if _, ok := entries[key]; !ok {
		return
	}
	delete(entries, key)
	if len(entries) == 0 {
		delete(metadata, field)
	}
}

// Child returns the object in a field, which it makes if there is nothing. It
// is nil if the field has another type.
func Child(object Map, name string) Map {
	if object == nil {
		return nil
	}
	if object[name] == nil {
		object[name] = Map{}
	}
	inner, _ := object[name].(Map)
	return inner
}

// Labels returns the labels that are strings.
func Labels(item *unstructured.Unstructured) labels.Set {
	return StringMap(MapAt(item.Object, "metadata", "labels"))
}

// StringMap returns the entries whose values are strings.
func StringMap(in Map) map[string]string {
	out := make(map[string]string, len(in))
	for key, value := range in {
		if text, ok := value.(string); ok {
			out[key] = text
		}
	}
	return out
}

// Owner returns the name of the first owner of that kind.
func Owner(item *unstructured.Unstructured, kind string) (name string, ok bool) {
	for name := range Owners(item, kind) {
		return name, true
	}
	return "", false
}

// Owners yields the names of the owners of that kind.
func Owners(item *unstructured.Unstructured, kind string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for reference := range Each(ListAt(item.Object, "metadata", "ownerReferences")) {
			if TextAt(reference, "kind") == kind && !yield(TextAt(reference, "name")) {
				return
			}
		}
	}
}

// Describe names an item in logs and errors.
func Describe(item *unstructured.Unstructured) string {
	name := item.GetName()
	if namespace := item.GetNamespace(); namespace != "" {
		name = namespace + "/" + name
	}
	return item.GetKind() + " " + name
}
