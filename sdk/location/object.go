package location

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// FromObject reads a location from its object, as decoded from JSON. It takes
// any map: the error joins all that is wrong with it.
func FromObject(obj map[string]any) (*Location, error) {
	r := reader{root: obj}
	l := &Location{Kind: r.text("kind")}
	if l.Kind != BackupStorage && l.Kind != VolumeSnapshot {
		r.report("kind", fmt.Sprintf("is %q, expected %s or %s", l.Kind, BackupStorage, VolumeSnapshot))
		return nil, r.err("object")
	}
	if group, _, _ := strings.Cut(r.text("apiVersion"), "/"); group != apiGroup {
		r.report("apiVersion", fmt.Sprintf("is %q, expected %s/v1", r.text("apiVersion"), apiGroup))
	}
	l.Namespace = r.text("metadata", "namespace")
	l.Name = r.text("metadata", "name")
	l.Labels = r.texts("metadata", "labels")
	l.Provider = r.required("spec", "provider")
	l.Config = r.texts("spec", "config")
	l.Credential = r.secretKey("spec", "credential")
	if l.Kind == BackupStorage {
		r.objectStorage(l)
	}
	if err := r.err(l.Kind + " " + l.Name); err != nil {
		return nil, err
	}
	return l, nil
}

func (r *reader) objectStorage(l *Location) {
	bucket := r.required("spec", "objectStorage", "bucket")
	l.Bucket = strings.Trim(bucket, "/")
	if strings.Contains(l.Bucket, "/") || l.Bucket == "" && bucket != "" {
		r.report("spec.objectStorage.bucket", fmt.Sprintf("is %q, expected a name; a path in the bucket belongs into spec.objectStorage.prefix", bucket))
	}
	l.Prefix = strings.Trim(r.text("spec", "objectStorage", "prefix"), "/")
	l.CACertRef = r.secretKey("spec", "objectStorage", "caCertRef")
	encoded := r.text("spec", "objectStorage", "caCert")
	pem, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		r.report("spec.objectStorage.caCert", "is not base64; encode the PEM text with base64 -w0")
	}
	l.CACert = string(pem)
	if l.CACert != "" && l.CACertRef != nil {
		r.report("spec.objectStorage", "has caCert and caCertRef; keep one of them")
	}
}

// reader reads fields of an object and collects what is wrong with them.
type reader struct {
	root     map[string]any
	problems []string
}

func (r *reader) report(field, problem string) {
	if p := field + " " + problem; !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

func (r *reader) err(object string) error {
	var errs []error
	for _, p := range r.problems {
		errs = append(errs, &fault.Error{Code: InvalidObject, What: strings.TrimSpace(object) + ": " + p})
	}
	return errors.Join(errs...)
}

// value returns the value at path, or nil.
func (r *reader) value(path ...string) any {
	var v any = r.root
	for i, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			if v != nil {
				r.report(strings.Join(path[:i], "."), "is "+typeName(v)+", expected a map")
			}
			return nil
		}
		v = m[name]
	}
	return v
}

func (r *reader) text(path ...string) string {
	v := r.value(path...)
	s, ok := v.(string)
	if !ok && v != nil {
		r.report(strings.Join(path, "."), "is "+typeName(v)+", expected a string")
	}
	return s
}

func (r *reader) required(path ...string) string {
	if v := r.value(path...); v == nil || v == "" {
		r.report(strings.Join(path, "."), "is missing")
	}
	return r.text(path...)
}

// texts returns the map of strings at path, or nil.
func (r *reader) texts(path ...string) map[string]string {
	field := strings.Join(path, ".")
	v := r.value(path...)
	m, ok := v.(map[string]any)
	if !ok {
		if v != nil {
			r.report(field, "is "+typeName(v)+", expected a map")
		}
		return nil
	}
	texts := make(map[string]string, len(m))
	for k, v := range m {
		s, ok := v.(string)
		if !ok {
			r.report(field+"."+k, "is "+typeName(v)+", expected a string; write the value in quotes")
		}
		texts[k] = s
	}
	return texts
}

// secretKey returns the selector at path, or nil when there is none.
func (r *reader) secretKey(path ...string) *SecretKey {
	if r.value(path...) == nil {
		return nil
	}
	at := slices.Clip(path)
	return &SecretKey{Name: r.required(append(at, "name")...), Key: r.required(append(at, "key")...)}
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	}
	return "a number"
}
