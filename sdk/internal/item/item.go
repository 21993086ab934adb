// Package item decodes and encodes the Kubernetes objects that actions work
// on, so that nothing is lost: numbers keep their value whatever their size,
// and an object that nobody changed keeps its bytes.
package item

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Decode returns the object of that JSON. Integers become int64, other numbers
// float64; a number that neither type holds exactly stays a json.Number.
func Decode(raw []byte) (*unstructured.Unstructured, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the JSON is empty")
		}
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("the JSON object is followed by more data")
	}
	if object == nil {
		return nil, errors.New("the JSON is null, not an object")
	}
	numbers(object)
	return &unstructured.Unstructured{Object: object}, nil
}

// numbers gives the numbers inside of v their types, in place, and returns v
// or what replaces it.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if _, isString := value.(string); !isString {
				v[key] = numbers(value)
			}
		}
	case []any:
		for i, value := range v {
			v[i] = numbers(value)
		}
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil && v != "-0" {
			return n
		}
		if f, err := strconv.ParseFloat(string(v), 64); err == nil && same(f, string(v)) {
			return f
		}
	}
	return v
}

// same reports whether f, written as JSON, reads as text does.
func same(f float64, text string) bool {
	encoded, err := json.Marshal(f)
	return err == nil && string(encoded) == text
}

// Encode returns the object as JSON.
func Encode(object *unstructured.Unstructured) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object.Object); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// Fingerprint tells changed objects from unchanged ones, without a copy of
// them.
type Fingerprint struct {
	seed maphash.Seed
	sum  uint64
}

// NewFingerprint returns the fingerprint of object as it is now.
func NewFingerprint(object *unstructured.Unstructured) Fingerprint {
	f := Fingerprint{seed: maphash.MakeSeed()}
	f.sum = f.hash(object.Object)
	return f
}

// Matches reports whether object is unchanged.
func (f Fingerprint) Matches(object *unstructured.Unstructured) bool {
	return f.hash(object.Object) == f.sum
}

// hash depends on the types and values inside of v. The order of the keys of a
// map has no part in it.
func (f Fingerprint) hash(v any) uint64 {
	switch v := v.(type) {
	case map[string]any:
		sum := uint64(len(v))
		for key, value := range v {
			sum += mix(maphash.String(f.seed, key), f.hash(value))
		}
		return mix('m', sum)
	case []any:
		sum := uint64(len(v))
		for _, value := range v {
			sum = mix(sum, f.hash(value))
		}
		return mix('l', sum)
	case string:
		return mix('s', maphash.String(f.seed, v))
	case int64:
		return mix('i', uint64(v))
	case float64:
		return mix('f', math.Float64bits(v))
	case bool:
		if v {
			return mix('b', 1)
		}
		return mix('b', 0)
	case nil:
		return mix('n', 0)
	}
	// Types that an action put in by hand, json.Number among them.
	text, err := json.Marshal(v)
	if err != nil {
		return mix('e', maphash.String(f.seed, err.Error()))
	}
	return mix('o', maphash.Bytes(f.seed, text))
}

// mix combines two values so that their order matters.
func mix(a, b uint64) uint64 {
	x := (a + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	x ^= x>>29 ^ b
	x *= 0x94d049bb133111eb
	return x ^ x>>32
}
