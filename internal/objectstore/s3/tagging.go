package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Limits of the S3 API for the tags of an object, in characters.
const (
	maxTags     = 10
	maxTagKey   = 128
	maxTagValue = 256
)

// parseTagging checks the pairs of a tagging header and returns them in the form
// that the header has.
func parseTagging(s string) (string, error) {
	pairs := strings.Split(s, "&")
	if len(pairs) > maxTags {
		return "", fmt.Errorf("expected at most %d tags, got %d", maxTags, len(pairs))
	}
	seen := map[string]bool{}
	for i, pair := range pairs {
		key, value, err := parseTag(pair)
		if err != nil {
			return "", err
		}
		if seen[key] {
			return "", fmt.Errorf("expected each tag key once, got %q twice", key)
		}
		seen[key] = true
		pairs[i] = encodeTag(pair, key, value)
	}
	return strings.Join(pairs, "&"), nil
}

func parseTag(pair string) (key, value string, err error) {
	key, value, ok := strings.Cut(pair, "=")
	if !ok || strings.Contains(value, "=") {
		return "", "", fmt.Errorf("expected tags of the form key=value&key2=value2, got %q", pair)
	}
	key, err = url.QueryUnescape(key)
	if err == nil {
		value, err = url.QueryUnescape(value)
	}
	if err != nil || !utf8.ValidString(key+value) {
		return "", "", fmt.Errorf("expected text or its URL encoding, got %q", pair)
	}
	switch {
	case key == "":
		return "", "", errors.New("expected tag keys that are not empty")
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return "", "", fmt.Errorf("expected tag keys without the reserved prefix aws:, got %q", key)
	case utf8.RuneCountInString(key) > maxTagKey:
		return "", "", fmt.Errorf("expected tag keys of at most %d characters, got %q", maxTagKey, key)
	case utf8.RuneCountInString(value) > maxTagValue:
		return "", "", fmt.Errorf("expected tag values of at most %d characters, got one of %d for the key %q", maxTagValue, utf8.RuneCountInString(value), key)
	}
	return key, value, nil
}

// encodeTag leaves a pair as it is written when it can go into a header, and
// encodes it otherwise.
func encodeTag(pair, key, value string) string {
	if strings.ContainsFunc(pair, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return escapeTag(key) + "=" + escapeTag(value)
	}
	return pair
}

// escapeTag writes a space as %20: to Ceph a plus sign is none.
func escapeTag(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
