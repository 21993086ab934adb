package location

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// ReadFile reads a location from a file; see Parse.
func ReadFile(path, name string) (*Location, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &fault.Error{Code: UnreadableFile, What: "reading the location", Fix: "give the path of a readable file", Err: err}
	}
	l, err := Parse(data, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// Parse reads a location from YAML or JSON: one or several documents, objects
// or lists of them, among which other kinds may be. It returns the location of
// the given name; when name is empty there must be exactly one location.
func Parse(data []byte, name string) (*Location, error) {
	objects, err := objects(data)
	if err != nil {
		return nil, &fault.Error{Code: UnreadableFile, What: "reading the location", Err: err}
	}
	var kinds, names []string
	var found []map[string]any
	for _, obj := range objects {
		r := reader{root: obj}
		kind, n := r.text("kind"), r.text("metadata", "name")
		kinds = append(kinds, kind)
		if kind != BackupStorage && kind != VolumeSnapshot {
			continue
		}
		names = append(names, kind+" "+n)
		if name == "" || n == name {
			found = append(found, obj)
		}
	}
	if len(found) == 1 {
		return FromObject(found[0])
	}
	return nil, &fault.Error{Code: NotInFile, What: describe(name, kinds, names)}
}

// describe says why there is not exactly one location of the name among
// objects of these kinds.
func describe(name string, kinds, locations []string) string {
	wanted := "a " + BackupStorage + " or " + VolumeSnapshot
	if name != "" {
		wanted = fmt.Sprintf("exactly one location named %q", name)
	} else if len(locations) > 1 {
		wanted = "one location"
	}
	switch {
	case len(locations) > 0:
		return fmt.Sprintf("expected %s, the file holds %s", wanted, strings.Join(locations, ", "))
	case len(kinds) > 0:
		slices.Sort(kinds)
		return fmt.Sprintf("expected %s, the file holds objects of kind %q", wanted, slices.Compact(kinds))
	}
	return fmt.Sprintf("expected %s, the file is empty", wanted)
}

// objects returns the objects of all documents, those in lists included.
func objects(data []byte) ([]map[string]any, error) {
	var list []map[string]any
	documents := k8syaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		var v any
		if err := yaml.UnmarshalStrict(document, &v); err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case nil:
		case map[string]any:
			list = append(list, flatten(v)...)
		default:
			return nil, fmt.Errorf("expected an object, found %s", typeName(v))
		}
	}
}

// flatten returns the items of a list, or the object itself.
func flatten(obj map[string]any) []map[string]any {
	items, ok := obj["items"].([]any)
	kind, _ := obj["kind"].(string)
	if !ok || !strings.HasSuffix(kind, "List") {
		return []map[string]any{obj}
	}
	var list []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			list = append(list, m)
		}
	}
	return list
}
