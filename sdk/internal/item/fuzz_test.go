package item

import (
	"reflect"
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// FuzzEdit edits any object in any place: what changes is noticed, what is not
// edited keeps its value.
func FuzzEdit(f *testing.F) {
	f.Add([]byte(pod), "metadata", "name", "other")
	f.Add([]byte(pod), "spec", "big", "")
	f.Add([]byte(`{"a":{"b":1.0}}`), "a", "c", "1.0")
	f.Add([]byte(`{"a":[1,2]}`), "a", "", "x")
	f.Fuzz(func(t *testing.T, raw []byte, parent, field, value string) {
		object, err := Decode(raw)
		if err != nil || !utf8.ValidString(parent) || !utf8.ValidString(field) || !utf8.ValidString(value) {
			return // JSON holds no other text
		}
		before, print := object.DeepCopy(), NewFingerprint(object)
		if err := unstructured.SetNestedField(object.Object, value, parent, field); err != nil {
			if !print.Matches(object) {
				t.Fatal("an edit that failed has changed the object")
			}
			return
		}
		if same := reflect.DeepEqual(before.Object, object.Object); print.Matches(object) != same {
			t.Fatalf("unchanged: %v, but the fingerprint says %v\n%v\n%v", same, !same, before, object)
		}
		encoded, err := Encode(object)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(encoded)
		if err != nil || print.hash(again.Object) != print.hash(object.Object) {
			t.Fatalf("%s came back as %v, %v", encoded, again, err)
		}
		unstructured.RemoveNestedField(object.Object, parent, field)
		if was, found, _ := unstructured.NestedFieldNoCopy(before.Object, parent, field); found {
			if err := unstructured.SetNestedField(object.Object, was, parent, field); err == nil && !print.Matches(object) {
				t.Fatal("an edit that was taken back has changed more")
			}
		}
	})
}
