package main

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
)

// triggers is the annotation image.openshift.io/triggers: a list of objects with
// from, fieldPath and paused.
type triggers []fields.Map

func parseTriggers(text string) (triggers, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var t triggers
	if err := decoder.Decode(&t); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("the list is followed by more data")
	}
	return t, nil
}

func (t triggers) String() string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	// It was decoded from JSON, so it can be encoded.
	_ = encoder.Encode([]fields.Map(t))
	return strings.TrimSuffix(out.String(), "\n")
}

// mapNamespaces maps the namespaces of image streams, and reports whether that
// changed anything.
func (t triggers) mapNamespaces(target func(string) string) (changed bool) {
	for _, trigger := range t {
		from := fields.MapAt(trigger, "from")
		fields.EditText(from, "namespace", func(namespace string) string {
			changed = changed || target(namespace) != namespace
			return target(namespace)
		})
	}
	return changed
}

// pause pauses those that are not, and reports whether there were any. A pause
// that is no boolean makes the annotation void: nothing is triggered.
func (t triggers) pause() (changed bool) {
	for _, trigger := range t {
		if trigger == nil {
			return false
		}
		if _, isBool := trigger["paused"].(bool); !isBool && trigger["paused"] != nil {
			return false
		}
	}
	for _, trigger := range t {
		if trigger["paused"] != true {
			trigger["paused"], changed = true, true
		}
	}
	return changed
}

// resumed returns the annotation with the pauses taken out that are not in the
// original, and reports whether there were any. What somebody has changed
// meanwhile stays.
func resumed(current, original string) (text string, changed bool) {
	before, err := parseTriggers(original)
	if err != nil {
		return current, false
	}
	if t, err := parseTriggers(original); err == nil && t.pause() && t.String() == current {
		return original, true
	}
	now, err := parseTriggers(current)
	if err != nil {
		return current, false
	}
	for _, trigger := range now {
		if trigger["paused"] != true {
			continue
		}
		for _, was := range before {
			if sameTrigger(trigger, was) && was["paused"] != true {
				delete(trigger, "paused")
				changed = true
			}
		}
	}
	return now.String(), changed
}

// sameTrigger reports whether two triggers set the same field from the same
// image.
func sameTrigger(x, y fields.Map) bool {
	return reflect.DeepEqual(x["from"], y["from"]) && reflect.DeepEqual(x["fieldPath"], y["fieldPath"])
}
