// Package config reads the configuration map of a storage location: it knows
// the keys, checks and converts their values, and prints the table of them.
//
//	var keys = config.Keys{
//		config.String("region", "signing region").Note("discovered"),
//		config.Bool("s3ForcePathStyle", "address the bucket in the path"),
//		config.Int("multipartPartSizeMiB", 8, 5, 5120, "size of an uploaded part"),
//	}
//
//	v, err := keys.Parse(m)
//	if err != nil {
//		return err
//	}
//	partSize := v.Int("multipartPartSizeMiB") << 20
package config

import (
	"errors"
	"os"
	"slices"
)

// Keys are the keys that one store understands, in the order in which they are
// documented. Names are unique.
type Keys []Key

// Key describes one configuration key. Make it with String, Bool and the other
// constructors of this package.
type Key struct {
	Name     string
	Type     Type
	Default  string // as documentation shows it
	About    string // what it does, a phrase or a sentence
	Ignored  bool   // accepted for the sake of existing configurations, without effect
	Injected bool   // set by Velero, not by users
	Env      string // environment variable that sets it where the configuration does not

	parse      func(string) (any, error)
	zero       any    // of the type that parse returns
	value      string // the default, as it would be written
	hasValue   bool
	emptyValue bool   // an empty value counts as a value
	required   string // error text when the key is unset
}

// Type says what values a key takes, in words.
type Type string

// Or returns the key with a default value, written as in a configuration.
func (k Key) Or(value string) Key {
	k.value, k.hasValue, k.Default = value, true, value
	return k
}

// Note returns the key with a note for documentation on what holds when the key
// is unset: "discovered", "the credentials' project".
func (k Key) Note(text string) Key {
	k.Default = text
	return k
}

// Required returns the key as one that must have a value. what is the text of
// the error otherwise.
func (k Key) Required(what string) Key {
	k.required, k.Default = what, "required"
	return k
}

// AllowEmpty returns the key as one whose empty value is a value of its own. An
// empty value of other keys means that the key is unset.
func (k Key) AllowEmpty() Key {
	k.emptyValue = true
	k.Type += ", or empty"
	return k
}

// SetByVelero returns the key as one that users leave to Velero.
func (k Key) SetByVelero() Key {
	k.Injected, k.Default = true, "set by Velero"
	return k
}

// OrEnv returns the key as one that an environment variable sets where the
// configuration does not. It is for keys beyond those that the OADP operator
// lets into a location.
func (k Key) OrEnv(variable string) Key {
	k.Env = variable
	return k
}

// Parse checks m against the keys. Its error joins everything that is wrong
// with m. The values are usable in any case, so that a caller can join what its
// own checks find: a key with a bad value is unset in them.
//
// Parse panics when a name is declared twice, or the default of an unset key is
// not a valid value.
func (ks Keys) Parse(m map[string]string) (Values, error) {
	v := Values{entries: make(map[string]entry, len(ks))}
	problems := []error{ks.checkNames(m)}
	for _, k := range ks {
		if _, twice := v.entries[k.Name]; twice {
			panic("config: key " + k.Name + " is declared twice")
		}
		text, present := m[k.Name]
		e, err := k.read(text, present)
		problems = append(problems, err)
		v.entries[k.Name] = e
	}
	return v, errors.Join(problems...)
}

// read returns the key's entry for text, else for the environment's, or the
// default's with an error.
func (k Key) read(text string, present bool) (entry, error) {
	if present && (text != "" || k.emptyValue) {
		return k.take(text, func(err error) error { return Invalid(k.Name, text, err) })
	}
	if text := k.environment(); text != "" {
		return k.take(text, func(err error) error { return invalidVariable(k.Env, text, err) })
	}
	if k.required != "" {
		return k.fallback(), missing(k)
	}
	return k.fallback(), nil
}

func (k Key) environment() string {
	if k.Env == "" {
		return ""
	}
	return os.Getenv(k.Env)
}

// take returns the key's entry for text. What is wrong with it, invalid explains.
func (k Key) take(text string, invalid func(error) error) (entry, error) {
	e, err := k.convert(text)
	if err != nil {
		return k.fallback(), invalid(err)
	}
	e.set = true
	return e, nil
}

// fallback returns the entry of an unset key.
func (k Key) fallback() entry {
	if !k.hasValue {
		return entry{parsed: k.zero}
	}
	e, err := k.convert(k.value)
	if err != nil {
		panic("config: default of key " + k.Name + ": " + err.Error())
	}
	return e
}

func (k Key) convert(text string) (entry, error) {
	if text == "" {
		return entry{parsed: k.zero}, nil
	}
	parsed, err := k.parse(text)
	if s, ok := parsed.(string); ok {
		text = s // a choice in its own spelling
	}
	return entry{text: text, parsed: parsed}, err
}

// Names returns the names of the keys, sorted.
func (ks Keys) Names() []string {
	names := make([]string, len(ks))
	for i, k := range ks {
		names[i] = k.Name
	}
	slices.Sort(names)
	return names
}
