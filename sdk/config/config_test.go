package config_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

var keys = config.Keys{
	config.String("region", "signing region").Note("discovered"),
	config.String("profile", "profile of the credentials file").Or("default"),
	config.String("bucket", "bucket").SetByVelero(),
	config.Bool("s3ForcePathStyle", "path-style addressing"),
	config.Int("partSizeMiB", 8, 5, 5120, "size of a part"),
	config.Duration("apiTimeout", 2*time.Minute, "limit of a call"),
	config.URL("s3Url", "endpoint"),
	config.Choice("checksumAlgorithm", "checksum", "CRC32", "SHA256").Or("CRC32").AllowEmpty(),
	config.ChoiceFold("snapshotType", "kind of snapshot", "STANDARD", "ARCHIVE"),
	config.List("excludeTags", "tags to leave out"),
	config.Map("tags", ",", "=", "tags | labels"),
	config.Unused("enableSharedConfig", "every file is read as both"),
	config.String("kmsKeyId", "KMS key"),
	config.String("customerKeyEncryptionFile", "SSE-C key file"),
	config.String("customerKeyEncryptionSecret", "SSE-C secret"),
	config.Custom("ref", "name/key", "reference", func(s string) ([2]string, error) {
		name, key, ok := strings.Cut(s, "/")
		if !ok || name == "" || key == "" {
			return [2]string{}, errors.New("expected name/key")
		}
		return [2]string{name, key}, nil
	}),
}

func TestParseAcceptsAndConverts(t *testing.T) {
	v, err := keys.Parse(map[string]string{
		"region": "eu-west-1", "s3ForcePathStyle": "T", "partSizeMiB": "5120", "apiTimeout": "90s",
		"s3Url": "https://s3.example.com:9000", "checksumAlgorithm": "SHA256", "snapshotType": "archive",
		"excludeTags": "a, b*,,", "tags": " k = v ,e=", "enableSharedConfig": "anything", "ref": "a/b",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want any }{
		"string":      {v.String("region"), "eu-west-1"},
		"bool":        {v.Bool("s3ForcePathStyle"), true},
		"int":         {v.Int("partSizeMiB"), 5120},
		"duration":    {v.Duration("apiTimeout"), 90 * time.Second},
		"URL":         {v.URL("s3Url").Host, "s3.example.com:9000"},
		"choice":      {v.String("checksumAlgorithm"), "SHA256"},
		"folded":      {v.String("snapshotType"), "ARCHIVE"},
		"list":        {v.List("excludeTags"), []string{"a", "b*"}},
		"map":         {v.Map("tags"), map[string]string{"k": "v", "e": ""}},
		"unused":      {v.String("enableSharedConfig"), "anything"},
		"custom":      {config.Get[[2]string](v, "ref"), [2]string{"a", "b"}},
		"text of int": {v.String("partSizeMiB"), "5120"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

func TestUnsetKeysHaveDefaults(t *testing.T) {
	for _, m := range []map[string]string{nil, {"s3ForcePathStyle": "", "partSizeMiB": "", "s3Url": "", "profile": "", "tags": ""}} {
		v, err := keys.Parse(m)
		if err != nil {
			t.Fatal(err)
		}
		if v.Has("s3ForcePathStyle") || v.Bool("s3ForcePathStyle") || v.Int("partSizeMiB") != 8 ||
			v.Duration("apiTimeout") != 2*time.Minute || v.URL("s3Url") != nil || v.String("profile") != "default" ||
			v.Map("tags") != nil || v.List("excludeTags") != nil || v.String("region") != "" {
			t.Errorf("defaults of %v: %+v", m, v)
		}
	}
}

func TestBoolForms(t *testing.T) {
	for text, want := range map[string]bool{
		"1": true, "t": true, "T": true, "TRUE": true, "true": true, "True": true,
		"0": false, "f": false, "F": false, "FALSE": false, "false": false, "False": false,
	} {
		v, err := keys.Parse(map[string]string{"s3ForcePathStyle": text})
		if err != nil || v.Bool("s3ForcePathStyle") != want || !v.Has("s3ForcePathStyle") {
			t.Errorf("%s: %v, %v", text, v.Bool("s3ForcePathStyle"), err)
		}
	}
}

func TestEmptyAndAbsentDiffer(t *testing.T) {
	for _, c := range []struct {
		m    map[string]string
		want string
		has  bool
	}{
		{nil, "CRC32", false},
		{map[string]string{"checksumAlgorithm": ""}, "", true},
		{map[string]string{"checksumAlgorithm": "SHA256"}, "SHA256", true},
	} {
		v, err := keys.Parse(c.m)
		if err != nil || v.String("checksumAlgorithm") != c.want || v.Has("checksumAlgorithm") != c.has {
			t.Errorf("%v: %q, %v, %v", c.m, v.String("checksumAlgorithm"), v.Has("checksumAlgorithm"), err)
		}
	}
}

func TestBadValues(t *testing.T) {
	for _, c := range []struct{ key, value, expected string }{
		{"s3ForcePathStyle", "yes", "expected bool"},
		{"s3ForcePathStyle", " true", "expected bool"},
		{"partSizeMiB", "4", "from 5 to 5120"},
		{"partSizeMiB", "5121", "from 5 to 5120"},
		{"partSizeMiB", "8M", "from 5 to 5120"},
		{"partSizeMiB", "99999999999999999999", "from 5 to 5120"},
		{"apiTimeout", "10", "positive duration"},
		{"apiTimeout", "-1s", "positive duration"},
		{"s3Url", "s3.example.com", "http:// or https://"},
		{"s3Url", "ftp://s3.example.com", "http:// or https://"},
		{"s3Url", "https://", "with a host"},
		{"s3Url", "https://:9000", "with a host"},
		{"s3Url", "http://a b", "cannot be parsed"},
		{"s3Url", "://", "cannot be parsed"},
		{"checksumAlgorithm", "crc32", "CRC32, SHA256"},
		{"snapshotType", "instant", "STANDARD, ARCHIVE"},
		{"tags", "a", `"a"`},
		{"tags", "=b", `"=b"`},
		{"tags", "a=b=c", `"a=b=c"`},
		{"tags", "a=b,a=c", "distinct keys"},
		{"ref", "a", "expected name/key"},
	} {
		v, err := keys.Parse(map[string]string{c.key: c.value})
		var e *fault.Error
		if !errors.As(err, &e) || !errors.Is(err, config.InvalidValue) {
			t.Errorf("%s=%s: error %v", c.key, c.value, err)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, c.key) || !strings.Contains(text, c.expected) || !strings.Contains(text, "; fix: ") {
			t.Errorf("%s=%s: error %s lacks the key, the fix or %q", c.key, c.value, text, c.expected)
		}
		if v.Has(c.key) {
			t.Errorf("%s=%s: a bad value counts as set", c.key, c.value)
		}
	}
}

func TestNoPasswordInErrors(t *testing.T) {
	for _, u := range []string{"ftp://user:secret@host", "http://user:secret@ho st", "user:secret@host:1"} {
		_, err := keys.Parse(map[string]string{"s3Url": u})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestUnknownKeys(t *testing.T) {
	few := config.Keys{config.String("d", ""), config.String("c", "")}
	_, err := few.Parse(map[string]string{"b": "", "a": "1", "c": "2"})
	if !errors.Is(err, config.UnknownKey) || !strings.HasPrefix(err.Error(), "config has invalid keys [a b]; valid keys are [c d]; fix: ") {
		t.Errorf("error: %v", err)
	}
	for wrong, right := range map[string]string{
		"Region": "region", "s3URL": "s3Url", "s3ForcePathstyle": "s3ForcePathStyle", "kmsKeyID": "kmsKeyId", "regoin": "region",
	} {
		_, err := keys.Parse(map[string]string{wrong: "x"})
		if err == nil || !strings.Contains(err.Error(), "write "+right+" in place of "+wrong) {
			t.Errorf("%s: no hint at %s in: %v", wrong, right, err)
		}
	}
	if _, err := keys.Parse(map[string]string{"colour": "x"}); err == nil || strings.Contains(err.Error(), "in place of") {
		t.Errorf("a far name got a hint: %v", err)
	}
}

func TestRequired(t *testing.T) {
	ks := config.Keys{config.String("region", "").Required("missing region in aws configuration")}
	for _, m := range []map[string]string{nil, {"region": ""}} {
		_, err := ks.Parse(m)
		if !errors.Is(err, config.MissingKey) || !strings.HasPrefix(err.Error(), "missing region in aws configuration; fix: set region") {
			t.Errorf("%v: %v", m, err)
		}
	}
	if _, err := ks.Parse(map[string]string{"region": "x"}); err != nil {
		t.Error(err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	v, err := keys.Parse(map[string]string{"x": "", "s3ForcePathStyle": "maybe", "partSizeMiB": "x", "kmsKeyId": "k", "customerKeyEncryptionFile": "f"})
	err = errors.Join(err, v.AtMostOne("kmsKeyId", "customerKeyEncryptionFile", "customerKeyEncryptionSecret"))
	for _, part := range []string{
		"invalid keys [x]", "s3ForcePathStyle", "partSizeMiB",
		"you can only use one of: kmsKeyId, customerKeyEncryptionFile, or customerKeyEncryptionSecret",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
	for _, code := range []fault.Code{config.UnknownKey, config.InvalidValue, config.Conflict} {
		if !errors.Is(err, code) {
			t.Errorf("code %s is missing in: %v", code.ID, err)
		}
	}
	if err := v.AtMostOne("kmsKeyId", "region"); err != nil {
		t.Errorf("one key alone: %v", err)
	}
}

func TestURLIsNormalised(t *testing.T) {
	keys := config.Keys{config.URL("u", "a URL")}
	for in, want := range map[string]string{
		"https://host:443":              "https://host",
		"HTTPS://Host.Example.COM:443/": "https://host.example.com/",
		"http://host:80":                "http://host",
		"http://host:443":               "http://host:443",
		"https://host:80":               "https://host:80",
		"https://host.:9000":            "https://host:9000",
		"https://[FE80::1]:443":         "https://[fe80::1]",
		"https://[::1]:9000":            "https://[::1]:9000",
		"https://host:":                 "https://host",
	} {
		v, err := keys.Parse(map[string]string{"u": in})
		if err != nil || v.URL("u").String() != want {
			t.Errorf("%s: %v, %v, want %s", in, v.URL("u"), err, want)
		}
	}
}

func TestURLIsACopy(t *testing.T) {
	v, _ := keys.Parse(map[string]string{"s3Url": "http://a"})
	v.URL("s3Url").Host = "b"
	if v.URL("s3Url").Host != "a" {
		t.Error("the stored URL changed")
	}
}

func TestProgrammingErrorsPanic(t *testing.T) {
	v, _ := keys.Parse(nil)
	for name, f := range map[string]func(){
		"undeclared key":  func() { _ = v.String("nope") },
		"wrong type":      func() { _ = v.Int("region") },
		"declared twice":  func() { _, _ = config.Keys{config.String("a", ""), config.String("a", "")}.Parse(nil) },
		"invalid default": func() { _, _ = config.Keys{config.Int("a", 9, 1, 2, "")}.Parse(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestTables(t *testing.T) {
	var b strings.Builder
	if err := keys.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if len(lines) != 2*len(keys) {
		t.Fatalf("%d lines for %d keys", len(lines), len(keys))
	}
	column := strings.Index(lines[0], string(keys[0].Type))
	for i, k := range keys {
		form, about := lines[2*i], lines[2*i+1]
		if !strings.HasPrefix(form, "  "+k.Name+" ") || !strings.HasPrefix(form[column:], string(k.Type)) || about[column:] != k.About {
			t.Errorf("not aligned:\n%s\n%s", form, about)
		}
		want := ", default " + k.Default
		if k.Injected || k.Default == "required" {
			want = ", " + k.Default
		}
		if k.Default != "" && !strings.HasSuffix(form, string(k.Type)+want) {
			t.Errorf("%q is missing: %s", want, form)
		}
	}
	md := keys.Markdown()
	for _, row := range []string{
		"| `region` | string | discovered | signing region |\n",
		"| `profile` | string | default | profile of the credentials file |\n",
		"| `bucket` | string | set by Velero | bucket |\n",
		"| `partSizeMiB` | integer 5..5120 | 8 | size of a part |\n",
		"| `apiTimeout` | duration | 2m | limit of a call |\n",
		"| `s3Url` | URL | - | endpoint |\n",
		"| `checksumAlgorithm` | one of CRC32, SHA256, or empty | CRC32 | checksum |\n",
		"| `enableSharedConfig` | string | ignored | every file is read as both |\n",
		`tags \| labels |`,
	} {
		if !strings.Contains(md, row) {
			t.Errorf("row %q is missing in\n%s", row, md)
		}
	}
}

func TestCodesAreComplete(t *testing.T) {
	codes := []fault.Code{config.UnknownKey, config.InvalidValue, config.MissingKey, config.Conflict}
	ids := make([]string, 0, len(codes))
	for _, c := range codes {
		if c.ID == "" || c.Meaning == "" || c.Fix == "" {
			t.Errorf("code %+v has an empty part", c)
		}
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != len(codes) {
		t.Error("a code is listed twice")
	}
}

// The environment counts where the configuration says nothing.
func TestEnvironment(t *testing.T) {
	keys := config.Keys{config.Duration("timeout", time.Minute, "limit").OrEnv("OADP_TEST_TIMEOUT"), config.String("other", "text")}
	for _, c := range []struct {
		config, variable string
		want             time.Duration
		err              string
	}{
		{"", "", time.Minute, ""},
		{"", "2m", 2 * time.Minute, ""},
		{"3m", "2m", 3 * time.Minute, ""},
		{"3m", "x", 3 * time.Minute, ""},
		{"", "x", time.Minute, `environment variable OADP_TEST_TIMEOUT has the value "x"`},
	} {
		t.Setenv("OADP_TEST_TIMEOUT", c.variable)
		v, err := keys.Parse(map[string]string{"timeout": c.config})
		if got := v.Duration("timeout"); got != c.want || v.Has("timeout") != (c.want != time.Minute) {
			t.Errorf("%+v: %v", c, got)
		}
		if err != nil && !strings.Contains(err.Error(), "fix: correct the variable") {
			t.Errorf("the fix is not about the variable: %v", err)
		}
		if (err != nil) != (c.err != "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if md := keys.Markdown(); !strings.Contains(md, "| limit; or the variable `OADP_TEST_TIMEOUT` |") {
		t.Error(md)
	}
}

// FuzzParse feeds every kind of key with the same text.
func FuzzParse(f *testing.F) {
	f.Add("region", "true")
	f.Add("s3Url", "http://[::1]:9000/%zz")
	f.Add("tags", "a=b,=,==")
	f.Add("apiTimeout", "9223372036854775807ns")
	f.Fuzz(func(t *testing.T, name, value string) {
		m := map[string]string{name: value}
		for _, k := range keys {
			m[k.Name] = value
		}
		v, err := keys.Parse(m)
		if err == nil {
			_ = fmt.Sprint(v.URL("s3Url"), v.Map("tags"), v.List("excludeTags"))
		} else if err.Error() == "" {
			t.Error("an error without text")
		}
	})
}
