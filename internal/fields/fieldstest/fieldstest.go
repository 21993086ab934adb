// Package fieldstest lets tests write objects as YAML and compare them.
package fieldstest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Object returns the object of a YAML text.
func Object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	o, err := sdk.NewDocument(JSON(t, text)).Object()
	if err != nil {
		t.Fatal(err)
	}
	return o.DeepCopy()
}

// JSON turns YAML into JSON; no text is an empty object.
func JSON(t testing.TB, text string) json.RawMessage {
	t.Helper()
	if strings.TrimSpace(text) == "" {
		return json.RawMessage("{}")
	}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return raw
}

// YAML returns the text of an object.
func YAML(t testing.TB, object *unstructured.Unstructured) string {
	t.Helper()
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Equal fails the test if an object is not the one that is wanted.
func Equal(t testing.TB, what string, got, want *unstructured.Unstructured) {
	t.Helper()
	is, was := YAML(t, got), YAML(t, want)
	if is != was {
		t.Errorf("%s: got\n%s\nwant\n%s", what, is, was)
	}
}
