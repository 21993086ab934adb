package config

import (
	"fmt"
	"net/url"
	"time"
)

// Values are the checked values of one configuration. Reading a key that was not
// declared, or as another type than it was declared, panics.
//
// Values do not change and may be read concurrently.
type Values struct {
	entries map[string]entry
}

type entry struct {
	text   string
	parsed any
	set    bool
}

// Has reports whether the configuration or the environment sets the key. An empty value does not,
// unless the key takes it (AllowEmpty).
func (v Values) Has(name string) bool { return v.entry(name).set }

// String returns the text of a key of any type, or its default's, or "".
func (v Values) String(name string) string { return v.entry(name).text }

// Bool returns the value of a Bool.
func (v Values) Bool(name string) bool { return Get[bool](v, name) }

// Int returns the value of an Int.
func (v Values) Int(name string) int { return Get[int](v, name) }

// Duration returns the value of a Duration.
func (v Values) Duration(name string) time.Duration { return Get[time.Duration](v, name) }

// URL returns a copy of the value of a URL, or nil when it is unset.
func (v Values) URL(name string) *url.URL {
	u := Get[*url.URL](v, name)
	if u == nil {
		return nil
	}
	c := *u
	return &c
}

// List returns the value of a List, which the caller must not change.
func (v Values) List(name string) []string { return Get[[]string](v, name) }

// Map returns the value of a Map, which the caller must not change.
func (v Values) Map(name string) map[string]string { return Get[map[string]string](v, name) }

// Get returns the value of a Custom key, or the zero value when it is unset and
// has no default.
func Get[T any](v Values, name string) T {
	var zero T
	e := v.entry(name)
	if e.parsed == nil {
		return zero
	}
	t, ok := e.parsed.(T)
	if !ok {
		panic(fmt.Sprintf("config: key %s holds a %T, not a %T", name, e.parsed, zero))
	}
	return t
}

func (v Values) entry(name string) entry {
	e, ok := v.entries[name]
	if !ok {
		panic("config: key " + name + " is not declared")
	}
	return e
}
