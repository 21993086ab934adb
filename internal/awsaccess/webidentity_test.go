package awsaccess

import (
	"encoding/base64"
	"strings"
	"testing"
)

func token(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2lnbmF0dXJl"
}

func TestParseClaims(t *testing.T) {
	for text, want := range map[string]string{
		token(`{"iss":"i","sub":"s","aud":["a","b"],"exp":1700000000}`):      "s i a b",
		token(`{"iss":"i","sub":"s","aud":"a","exp":1700000000.5}`) + "\n":   "s i a",
		token(`{"kubernetes.io":{"namespace":"n"},"sub":"s","aud":["sts"]}`): "s  sts",
		token(`{}`):             "  ",
		token(`{"aud":7}`):      "none",
		token(`{"sub":["s"]}`):  "none",
		token(`no JSON`):        "none",
		"not.base64!.x":         "none",
		"two.parts":             "none",
		"":                      "none",
		strings.Repeat(".", 40): "none",
	} {
		got := "none"
		if c, ok := parseClaims(text); ok {
			got = c.Subject + " " + c.Issuer + " " + strings.Join(c.Audience, " ")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzClaims(f *testing.F) {
	f.Add(token(`{"iss":"i","sub":"s","aud":["a"],"exp":1e300}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		if c, ok := parseClaims(text); ok && strings.Count(text, ".") != 2 {
			t.Errorf("%+v", c)
		}
	})
}
