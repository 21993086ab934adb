package credfile

import (
	"maps"
	"slices"
	"strings"
)

// longForm begins the header of a profile in a config file.
const longForm = "profile "

// iniFile is an AWS shared credentials or config file.
type iniFile struct {
	sections map[string]map[string]string // by header, settings by lower-case key
	badLine  int                          // first line that is no header, setting or comment; 0 for none
}

// readINI reads what it can. Like AWS SDKs it passes over lines that it does not
// understand; badLine lets a caller name the first of them when something turns
// out to be missing.
func readINI(data []byte) iniFile {
	f := iniFile{sections: map[string]map[string]string{}}
	var section map[string]string
	nested := -1 // indent of a setting without a value: deeper lines belong to it
	for i, line := range lines(data) {
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		if nested >= 0 && indent > nested {
			continue
		}
		nested = -1
		if name, ok := header(text); ok {
			if f.sections[name] == nil {
				f.sections[name] = map[string]string{}
			}
			section = f.sections[name]
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if key = strings.ToLower(strings.TrimSpace(key)); !ok || key == "" || section == nil {
			if f.badLine == 0 {
				f.badLine = i + 1
			}
			continue
		}
		section[key] = unquote(stripComment(strings.TrimSpace(value)))
		if section[key] == "" {
			nested = indent
		}
	}
	return f
}

// header returns the name in "[name]".
func header(text string) (string, bool) {
	text = stripComment(text)
	if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
		return "", false
	}
	name := strings.TrimSpace(text[1 : len(text)-1])
	if rest, ok := strings.CutPrefix(name, "profile"); ok && rest != strings.TrimLeft(rest, " \t") {
		return longForm + unquote(strings.TrimSpace(rest)), true
	}
	return unquote(name), name != ""
}

// stripComment cuts a comment that follows white space.
func stripComment(s string) string {
	for i := 1; i < len(s); i++ {
		if (s[i] == '#' || s[i] == ';') && (s[i-1] == ' ' || s[i-1] == '\t') {
			return strings.TrimSpace(s[:i])
		}
	}
	return s
}

// unquote removes one pair of quotes around s.
func unquote(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		return s[1 : n-1]
	}
	return s
}

// profile returns the settings of a profile.
func (f iniFile) profile(name string) (map[string]string, bool) {
	long, inLong := f.sections[longForm+name]
	short, inShort := f.sections[name]
	settings := maps.Clone(long)
	if settings == nil {
		settings = map[string]string{}
	}
	maps.Copy(settings, short)
	return settings, inLong || inShort
}

// names returns the names of the profiles, sorted.
func (f iniFile) names() []string {
	var names []string
	for name := range f.sections {
		names = append(names, strings.TrimPrefix(name, longForm))
	}
	slices.Sort(names)
	return slices.Compact(names)
}
