package main

import (
	"iter"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// Objects are read and edited as decoded JSON, so that fields which this plugin
// does not know survive. A value of an unexpected type reads as absent and is
// left alone: the API server says better what is wrong with it.

type fields = map[string]any

// at returns the value at a path, or nil.
func at(object fields, path ...string) any {
	var v any = object
	for _, name := range path {
		inner, ok := v.(fields)
		if !ok {
			return nil
		}
		v = inner[name]
	}
	return v
}

func fieldsAt(object fields, path ...string) fields {
	inner, _ := at(object, path...).(fields)
	return inner
}

func listAt(object fields, path ...string) []any {
	list, _ := at(object, path...).([]any)
	return list
}

func textAt(object fields, path ...string) string {
	text, _ := at(object, path...).(string)
	return text
}

// each yields the elements of a list that are objects.
func each(list []any) iter.Seq[fields] {
	return func(yield func(fields) bool) {
		for _, element := range list {
			if inner, ok := element.(fields); ok && !yield(inner) {
				return
			}
		}
	}
}

// texts yields the elements of a list that are strings.
func texts(list []any) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, element := range list {
			if text, ok := element.(string); ok && !yield(text) {
				return
			}
		}
	}
}

// editText replaces a string of an object if it is there.
func editText(object fields, name string, edit func(string) string) {
	if text, ok := object[name].(string); ok && text != "" {
		object[name] = edit(text)
	}
}

// editTexts replaces the strings of a list.
func editTexts(list []any, edit func(string) string) {
	for i, element := range list {
		if text, ok := element.(string); ok {
			list[i] = edit(text)
		}
	}
}

func annotation(item *unstructured.Unstructured, key string) string {
	return textAt(item.Object, "metadata", "annotations", key)
}

func hasAnnotation(item *unstructured.Unstructured, key string) bool {
	_, ok := fieldsAt(item.Object, "metadata", "annotations")[key]
	return ok
}

func annotate(item *unstructured.Unstructured, key, value string) {
	setMeta(item, "annotations", key, value)
}

func removeAnnotation(item *unstructured.Unstructured, key string) {
	removeMeta(item, "annotations", key)
}

func label(item *unstructured.Unstructured, key string) string {
	return textAt(item.Object, "metadata", "labels", key)
}

func setLabel(item *unstructured.Unstructured, key, value string) {
	setMeta(item, "labels", key, value)
}

func removeLabel(item *unstructured.Unstructured, key string) {
	removeMeta(item, "labels", key)
}

func setMeta(item *unstructured.Unstructured, field, key, value string) {
	metadata := child(item.Object, "metadata")
	if metadata == nil {
		return
	}
	if entries := child(metadata, field); entries != nil {
		entries[key] = value
	}
}

// removeMeta removes an entry, and the map with the last one.
func removeMeta(item *unstructured.Unstructured, field, key string) {
	metadata := fieldsAt(item.Object, "metadata")
	entries := fieldsAt(metadata, field)
	if _, ok := entries[key]; !ok {
		return
	}
	delete(entries, key)
	if len(entries) == 0 {
		delete(metadata, field)
	}
}

// child returns the object in a field, which it makes if there is nothing. It
// is nil if the field has another type.
func child(object fields, name string) fields {
	if object[name] == nil {
		object[name] = fields{}
	}
	inner, _ := object[name].(fields)
	return inner
}

// labelsOf returns the labels that are strings.
func labelsOf(item *unstructured.Unstructured) labels.Set {
	return stringMap(fieldsAt(item.Object, "metadata", "labels"))
}

func stringMap(in fields) map[string]string {
	out := make(map[string]string, len(in))
	for key, value := range in {
		if text, ok := value.(string); ok {
			out[key] = text
		}
	}
	return out
}

// owner returns the name of the first owner of that kind.
func owner(item *unstructured.Unstructured, kind string) (name string, ok bool) {
	for reference := range each(listAt(item.Object, "metadata", "ownerReferences")) {
		if textAt(reference, "kind") == kind {
			return textAt(reference, "name"), true
		}
	}
	return "", false
}

// describe names an item in logs and errors.
func describe(item *unstructured.Unstructured) string {
	name := item.GetName()
	if namespace := item.GetNamespace(); namespace != "" {
		name = namespace + "/" + name
	}
	return item.GetKind() + " " + name
}
