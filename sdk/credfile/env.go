package credfile

import (
	"regexp"
	"strings"
)

// ReadEnv returns the entries of a file of KEY=VALUE lines, the form of Azure
// credentials. "KEY: VALUE" and a leading "export" are taken too. Values may be
// in double quotes, with \n and \r for line ends, or literally in single quotes.
// Outside of single quotes $NAME and ${NAME} stand for earlier entries, but not in
// values of entries whose names end with _SECRET, _KEY or _PASSWORD; a name without
// an entry stays as it is. A comment begins with a # that starts the
// line or follows white space.
func ReadEnv(data []byte) (map[string]Sensitive, error) {
	entries := map[string]Sensitive{}
	for i, line := range lines(data) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := cutEntry(line)
		if !ok {
			return nil, malformed("line %d of the credentials file has not the form KEY=VALUE", i+1)
		}
		known := entries
		if holdsSecret(key) {
			known = nil // a $ in a secret is a part of it
		}
		value, problem := envValue(value, known)
		if problem != "" {
			return nil, malformed("line %d of the credentials file %s", i+1, problem)
		}
		entries[key] = Sensitive(value)
	}
	return entries, nil
}

// holdsSecret reports whether an entry of that name holds a secret, such as
// AZURE_CLIENT_SECRET.
func holdsSecret(name string) bool {
	return strings.HasSuffix(name, "_SECRET") || strings.HasSuffix(name, "_KEY") || strings.HasSuffix(name, "_PASSWORD")
}

// cutEntry parts a line at the first = or :, whichever comes first.
func cutEntry(line string) (key, value string, ok bool) {
	at := strings.IndexAny(line, "=:")
	if at < 0 {
		return "", "", false
	}
	key = strings.TrimSpace(line[:at])
	if rest, ok := strings.CutPrefix(key, "export"); ok && rest != strings.TrimLeft(rest, " \t") {
		key = strings.TrimSpace(rest)
	}
	return key, strings.TrimSpace(line[at+1:]), key != "" && !strings.ContainsAny(key, " \t\"'")
}

const (
	openQuote = "has a quote without its end"
	tooLong   = "is too long once its references are replaced"
)

// envValue returns the value that text stands for, or what is wrong with it.
func envValue(text string, entries map[string]Sensitive) (value, problem string) {
	if text == "" {
		return "", ""
	}
	switch quote := text[0]; quote {
	case '\'':
		end := strings.IndexByte(text[1:], quote)
		if end < 0 {
			return "", openQuote
		}
		return text[1 : 1+end], ""
	case '"':
		end := closingQuote(text)
		if end < 0 {
			return "", openQuote
		}
		value, problem = expand(text[1:end], entries)
		return unescape(value), problem
	}
	return expand(stripComment(text), entries)
}

// closingQuote returns the index of the double quote that ends the one at 0.
func closingQuote(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

var escapes = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n", `\r`, "\r", `\$`, "$")

func unescape(s string) string { return escapes.Replace(s) }

var reference = regexp.MustCompile(`\\?\$(\{[A-Z0-9_]+\}|[A-Z0-9_]+)`)

// longest bounds what references may add to a value: a file of a few lines could
// otherwise double a value with each of them.
const longest = 64 << 10

func expand(s string, entries map[string]Sensitive) (value, problem string) {
	added := 0
	value = reference.ReplaceAllStringFunc(s, func(ref string) string {
		v, ok := entries[strings.Trim(ref, "${}")]
		if !ok || ref[0] != '$' {
			return ref
		}
		if added += len(v); added > longest {
			problem = tooLong
			return ""
		}
		return string(v)
	})
	return value, problem
}
