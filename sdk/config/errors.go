package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package; errors.Is tells whether an error has one.
var (
	UnknownKey = fault.Code{
		ID:      "CONFIG_UNKNOWN_KEY",
		Meaning: "The config of a location has a key that the plugin does not know.",
		Fix:     "remove the key from spec.config, or correct its spelling; upper and lower case differ",
	}
	InvalidValue = fault.Code{
		ID:      "CONFIG_INVALID_VALUE",
		Meaning: "A key in the config of a location has a value of the wrong form.",
		Fix:     "correct the value in spec.config, or remove the key",
	}
	MissingKey = fault.Code{
		ID:      "CONFIG_MISSING_KEY",
		Meaning: "The config of a location lacks a key that the plugin needs.",
		Fix:     "add the key to spec.config",
	}
	Conflict = fault.Code{
		ID:      "CONFIG_CONFLICT",
		Meaning: "The config of a location sets keys that exclude each other.",
		Fix:     "keep one of the keys in spec.config and remove the others",
	}
)

// Invalid returns the error for a key with a value of the wrong form. expected
// says what was expected. A check that a Custom key cannot make, since it needs
// more than the value, reports through it as well.
//
// The value is quoted, so it must not be a secret.
func Invalid(name, value string, expected error) error {
	return &fault.Error{
		Code: InvalidValue,
		What: fmt.Sprintf("config key %s has the value %s", name, quote(value)),
		Err:  expected,
	}
}

func invalidVariable(name, value string, expected error) error {
	return &fault.Error{
		Code: InvalidValue,
		What: fmt.Sprintf("environment variable %s has the value %s", name, quote(value)),
		Fix:  "correct the variable of the Velero pod, or remove it",
		Err:  expected,
	}
}

// quote quotes a value for an error text: not a long one, and no password in a
// URL.
func quote(value string) string {
	const most = 80
	if at := strings.LastIndex(value, "@"); at >= 0 && strings.Contains(value[:at], ":") {
		value = "..." + value[at:]
	}
	if len(value) > most {
		value = value[:most] + "..."
	}
	return fmt.Sprintf("%q", value)
}

func missing(k Key) error {
	return &fault.Error{
		Code: MissingKey,
		What: k.required,
		Fix:  fmt.Sprintf("set %s in spec.config", k.Name),
	}
}

// AtMostOne returns an error when the configuration sets more than one of the
// keys.
func (v Values) AtMostOne(names ...string) error {
	var set []string
	for _, n := range names {
		if v.Has(n) {
			set = append(set, n)
		}
	}
	if len(set) < 2 {
		return nil
	}
	return &fault.Error{
		Code: Conflict,
		What: fmt.Sprintf("config sets %s: you can only use one of: %s", strings.Join(set, ", "), alternatives(names)),
	}
}

// alternatives writes "a, b, or c".
func alternatives(names []string) string {
	last := len(names) - 1
	if last < 2 {
		return strings.Join(names, " or ")
	}
	return strings.Join(names[:last], ", ") + ", or " + names[last]
}

// checkNames returns an error that lists the keys of m that are not in ks, in
// the words that Velero's own plugins use.
func (ks Keys) checkNames(m map[string]string) error {
	valid := ks.Names()
	var unknown []string
	for name := range m {
		if _, ok := slices.BinarySearch(valid, name); !ok {
			unknown = append(unknown, name)
		}
	}
	if unknown == nil {
		return nil
	}
	slices.Sort(unknown)
	return &fault.Error{
		Code: UnknownKey,
		What: fmt.Sprintf("config has invalid keys %v; valid keys are %v", unknown, valid),
		Fix:  corrections(unknown, valid),
	}
}

// corrections proposes a valid name for each unknown one that comes close to
// one, or nothing.
func corrections(unknown, valid []string) string {
	var hints []string
	for _, u := range unknown {
		if v := closest(u, valid); v != "" {
			hints = append(hints, fmt.Sprintf("write %s in place of %s", v, u))
		}
	}
	return strings.Join(hints, ", ")
}

func closest(name string, valid []string) string {
	best, fewest := "", min(2, len(name)/3)+1
	for _, v := range valid {
		if d := distance(strings.ToLower(name), strings.ToLower(v)); d < fewest {
			best, fewest = v, d
		}
	}
	return best
}

// distance returns the number of bytes to insert, remove or replace that makes
// a of b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
