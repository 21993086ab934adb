package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String is a key with any text.
func String(name, about string) Key {
	return Custom(name, "string", about, func(s string) (string, error) { return s, nil })
}

// Unused is a key that is accepted and has no effect.
func Unused(name, about string) Key {
	k := String(name, about).Note("ignored")
	k.Ignored = true
	return k
}

// Bool is a key that is true or false, in the forms of strconv.ParseBool. It is
// false when unset.
func Bool(name, about string) Key {
	return Custom(name, "bool", about, func(s string) (bool, error) {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return false, errors.New("expected bool")
		}
		return b, nil
	}).Or("false")
}

// Int is a key with a whole number from min to max.
func Int(name string, def, min, max int, about string) Key {
	t := Type(fmt.Sprintf("integer %d..%d", min, max))
	return Custom(name, t, about, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < min || n > max {
			return 0, fmt.Errorf("expected a whole number from %d to %d", min, max)
		}
		return n, nil
	}).Or(strconv.Itoa(def))
}

// Duration is a key with a positive Go duration.
func Duration(name string, def time.Duration, about string) Key {
	return Custom(name, "duration", about, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return 0, errors.New("expected a positive duration such as 90s, 10m or 1h30m")
		}
		return d, nil
	}).Or(shortDuration(def))
}

// shortDuration writes 2m in place of 2m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if t, ok := strings.CutSuffix(s, "m0s"); ok {
		s = t + "m"
	}
	if t, ok := strings.CutSuffix(s, "h0m"); ok {
		s = t + "h"
	}
	return s
}

// URL is a key with an http or https URL that has a host.
func URL(name, about string) Key {
	return Custom(name, "URL", about, parseURL)
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("expected a URL such as https://host:port, this one cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("expected a URL that begins with http:// or https://")
	case strings.TrimSuffix(u.Hostname(), ".") == "":
		return nil, errors.New("expected a URL with a host")
	}
	u.Host = normalHost(u)
	return u, nil
}

// normalHost returns the host of a URL as clients send it: in lower case, without
// the port that the scheme implies, and without the dot at the end of a name.
// Signatures cover the host, and would not match for another spelling of it.
//
//	https://S3.example.com.:443 has s3.example.com
func normalHost(u *url.URL) string {
	host, port := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]" // an IPv6 address
	}
	if port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return host
	}
	return host + ":" + port
}

// Choice is a key with one of a few values, matched by case.
func Choice(name, about string, values ...string) Key {
	return choice(name, about, values, func(a, b string) bool { return a == b })
}

// ChoiceFold is a key with one of a few values in upper or lower case. Its value
// is spelled as in values.
func ChoiceFold(name, about string, values ...string) Key {
	return choice(name, about, values, strings.EqualFold)
}

func choice(name, about string, values []string, same func(a, b string) bool) Key {
	t := Type("one of " + strings.Join(values, ", "))
	return Custom(name, t, about, func(s string) (string, error) {
		i := slices.IndexFunc(values, func(v string) bool { return same(v, s) })
		if i < 0 {
			return "", fmt.Errorf("expected one of %s", strings.Join(values, ", "))
		}
		return values[i], nil
	})
}

// List is a key with values that are separated by commas. White space around
// them and empty ones are dropped.
func List(name, about string) Key {
	return Custom(name, "list a,b", about, func(s string) ([]string, error) {
		return fields(s, ","), nil
	})
}

// Map is a key with pairs: sep parts them, eq parts a pair's key from its value.
// White space around both is dropped; a pair has exactly one eq and a key of its
// own.
func Map(name, sep, eq, about string) Key {
	form := fmt.Sprintf("k%sv%sk2%sv2", eq, sep, eq)
	return Custom(name, Type("map "+form), about, func(s string) (map[string]string, error) {
		m := map[string]string{}
		for _, pair := range fields(s, sep) {
			k, v, ok := strings.Cut(pair, eq)
			k, v = strings.TrimSpace(k), strings.TrimSpace(v)
			_, twice := m[k]
			if !ok || k == "" || twice || strings.Contains(v, eq) {
				return nil, fmt.Errorf("expected pairs of the form %s with distinct keys, got the pair %q", form, pair)
			}
			m[k] = v
		}
		return m, nil
	})
}

func fields(s, sep string) []string {
	var list []string
	for f := range strings.SplitSeq(s, sep) {
		if f = strings.TrimSpace(f); f != "" {
			list = append(list, f)
		}
	}
	return list
}

// Custom is a key whose value parse converts; read it with Get. An error of
// parse says what is expected: "expected a name and a key, parted by a slash".
func Custom[T any](name string, t Type, about string, parse func(string) (T, error)) Key {
	var zero T
	return Key{Name: name, Type: t, About: about, zero: zero, parse: func(s string) (any, error) {
		return parse(s)
	}}
}
