package awsfake

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// form reads the parameters of a request and notes which it has read: a
// parameter that nobody reads is one that the action does not have.
type form struct {
	action, version string
	dry             bool // only permissions are asked for

	values map[string]string
	read   map[string]bool
	wrong  *fakecloud.Refusal // the first that is wrong
}

func newForm(values url.Values) *form {
	f := &form{values: map[string]string{}, read: map[string]bool{}}
	for name, list := range values {
		if len(list) > 1 {
			f.fail("InvalidParameterCombination", "The parameter %s is given more than once", name)
		}
		f.values[name] = list[0]
	}
	f.action, f.version, f.dry = f.text("Action"), f.text("Version"), f.bool("DryRun")
	return f
}

func (f *form) fail(code, format string, args ...any) {
	if f.wrong == nil {
		f.wrong = fakecloud.Refuse(http.StatusBadRequest, code, format, args...)
	}
}

// problem returns what is wrong with the parameters, after all were read.
func (f *form) problem() *fakecloud.Refusal {
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if !f.read[name] {
			f.fail("UnknownParameter", "The parameter %s is not recognized", name)
		}
	}
	return f.wrong
}

func (f *form) has(name string) bool {
	_, ok := f.values[name]
	return ok
}

func (f *form) text(name string) string {
	f.read[name] = true
	return f.values[name]
}

func (f *form) required(name string) string {
	if f.text(name) == "" {
		f.fail("MissingParameter", "The request must contain the parameter %s", name)
	}
	return f.text(name)
}

func (f *form) bool(name string) bool {
	switch v := f.text(name); v {
	case "true":
		return true
	case "", "false":
	default:
		f.fail("InvalidParameterValue", "Invalid value '%s' for %s", v, name)
	}
	return false
}

// number returns a number, 0 when it is absent.
func (f *form) number(name string) int {
	v := f.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 1 {
		f.fail("InvalidParameterValue", "Invalid value '%s' for %s. Must be an integer.", v, name)
	}
	return int(n)
}

// list returns the values of NAME.1, NAME.2 and so on.
func (f *form) list(name string) []string {
	var list []string
	for f.has(name + "." + strconv.Itoa(len(list)+1)) {
		list = append(list, f.text(name+"."+strconv.Itoa(len(list)+1)))
	}
	return list
}

// filters returns the filters of a Describe action.
func (f *form) filters() map[string][]string {
	filters := map[string][]string{}
	for n := 1; f.has("Filter." + strconv.Itoa(n) + ".Name"); n++ {
		prefix := "Filter." + strconv.Itoa(n)
		filters[f.text(prefix+".Name")] = f.list(prefix + ".Value")
	}
	return filters
}

// Limits of EC2 for tags.
const (
	maxTags     = 50
	maxTagKey   = 127
	maxTagValue = 256
)

// tags returns the tags for a new resource of a type.
func (f *form) tags(resource string) map[string]string {
	tags := map[string]string{}
	if !f.has("TagSpecification.1.ResourceType") {
		return tags
	}
	if got := f.text("TagSpecification.1.ResourceType"); got != resource {
		f.fail("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", got)
	}
	for n := 1; f.has("TagSpecification.1.Tag." + strconv.Itoa(n) + ".Key"); n++ {
		prefix := "TagSpecification.1.Tag." + strconv.Itoa(n)
		key, value := f.text(prefix+".Key"), f.text(prefix+".Value")
		if _, twice := tags[key]; twice {
			f.fail("InvalidParameterValue", "Duplicate tag key '%s' specified.", key)
		}
		switch {
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			f.fail("InvalidParameterValue", "Value ( %s ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use", key)
		case key == "" || len([]rune(key)) > maxTagKey:
			f.fail("InvalidParameterValue", "Tag key exceeds the maximum length of %d characters", maxTagKey)
		case len([]rune(value)) > maxTagValue:
			f.fail("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", maxTagValue)
		}
		tags[key] = value
	}
	if len(tags) == 0 {
		f.fail("InvalidParameterValue", "Tag specification must have at least one tag")
	}
	if len(tags) > maxTags {
		f.fail("TagLimitExceeded", "More than %d tags specified.", maxTags)
	}
	return tags
}
