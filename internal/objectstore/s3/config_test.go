package s3

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

func TestSettings(t *testing.T) {
	s, err := parseSettings(nil)
	if err != nil {
		t.Fatalf("no configuration: %v", err)
	}
	if s.partSize != 5<<20 || s.concurrency != 8 || s.checksum != (checksumMode{algorithm: "CRC32"}) || s.pathStyle || s.endpoint != "" {
		t.Errorf("defaults: %+v", s)
	}
	s, err = parseSettings(map[string]string{
		"bucket": "b", "prefix": "p", "s3Url": "https://store:9000/", "publicUrl": "http://public", "s3ForcePathStyle": "True",
		"checksumAlgorithm": "", "multipartPartSizeMiB": "16", "multipartConcurrency": "2", "storageClass": "STANDARD_IA",
		"acl": "bucket-owner-full-control", "tagging": "a=b", "enableSharedConfig": "true", "resticRepoPrefix": "x", "signatureVersion": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.endpoint != "https://store:9000" || s.publicEndpoint != "http://public" || !s.pathStyle || s.partSize != 16<<20 || s.concurrency != 2 ||
		s.checksum != (checksumMode{fixed: true}) || s.storageClass != "STANDARD_IA" || s.acl != "bucket-owner-full-control" || s.tagging != "a=b" {
		t.Errorf("settings: %+v", s)
	}
	if len(s.warnings) != 1 || !strings.Contains(s.warnings[0], "signatureVersion") {
		t.Errorf("warnings: %v", s.warnings)
	}
	if s, _ := parseSettings(map[string]string{"bucket": "logs--use1-az4--x-s3", "checksumAlgorithm": ""}); s.checksum.algorithm != "CRC32" {
		t.Error("a directory bucket gets uploads without a checksum")
	}
}

func TestSettingErrors(t *testing.T) {
	t.Setenv("VELERO_NAMESPACE", "velero")
	for _, c := range []struct{ key, value, want string }{
		{"Bucket", "b", "config has invalid keys [Bucket]; valid keys are ["},
		{"s3Url", "httpd://foo", "http:// or https://"},
		{"s3Url", "https://", "host"},
		{"publicUrl", "foo", "publicUrl"},
		{"s3ForcePathStyle", "yes", "expected bool"},
		{"insecureSkipTLSVerify", "2", "expected bool"},
		{"checksumAlgorithm", "sha256", "CRC32"},
		{"checksumAlgorithm", "  ", "checksumAlgorithm"},
		{"checksumAlgorithm", "MD5", "checksumAlgorithm"},
		{"multipartPartSizeMiB", "4", "from 5 to 5120"},
		{"multipartConcurrency", "0", "from 1 to 32"},
		{"storageClass", "GLACIER", "read at once"},
		{"storageClass", "DEEP_ARCHIVE", "read at once"},
		{"acl", "everyone", "acl"},
		{"customerKeyEncryptionSecret", "name", "one slash"},
		{"customerKeyEncryptionSecret", "a/b/c", "one slash"},
		{"customerKeyEncryptionSecret", "/b", "one slash"},
		{"tagging", "a", "key=value"},
	} {
		_, err := parseSettings(map[string]string{c.key: c.value})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "; fix: ") {
			t.Errorf("%s=%s: %v", c.key, c.value, err)
		}
	}
	t.Setenv("VELERO_NAMESPACE", "")
	if _, err := parseSettings(map[string]string{"customerKeyEncryptionSecret": "a/b"}); err == nil || !strings.Contains(err.Error(), "VELERO_NAMESPACE") {
		t.Errorf("without a namespace: %v", err)
	}
}

func TestEncryptionKeysExclude(t *testing.T) {
	t.Setenv("VELERO_NAMESPACE", "velero")
	values := map[string]string{"kmsKeyId": "k", "customerKeyEncryptionFile": "/absent", "customerKeyEncryptionSecret": "a/b"}
	for mask := range 8 {
		m := map[string]string{"serverSideEncryption": "AES256"}
		for i, key := range []string{"kmsKeyId", "customerKeyEncryptionFile", "customerKeyEncryptionSecret"} {
			if mask>>i&1 == 1 {
				m[key] = values[key]
			}
		}
		_, err := parseSettings(m)
		excluded := err != nil && strings.Contains(err.Error(), "you can only use one of: kmsKeyId, customerKeyEncryptionFile, or customerKeyEncryptionSecret")
		if excluded != (len(m) > 2) || excluded != errors.Is(err, config.Conflict) {
			t.Errorf("%v: %v", m, err)
		}
	}
}

func TestEncryptionPrecedence(t *testing.T) {
	text := func(p *string) string {
		if p == nil {
			return "-"
		}
		return *p
	}
	for _, c := range []struct{ algorithm, kms, want string }{
		{"", "", "- -"},
		{"AES256", "", "AES256 -"},
		{"", "key", "aws:kms key"},
		{"AES256", "key", "aws:kms key"},
		{"aws:kms:dsse", "key", "aws:kms:dsse key"},
	} {
		e := newEncryption(c.algorithm, c.kms)
		if got := text(e.algorithm) + " " + text(e.kmsKey); got != c.want || e.customer.key != nil {
			t.Errorf("%q with %q: %s", c.algorithm, c.kms, got)
		}
	}
	e := newCustomerEncryption([]byte(strings.Repeat("k", 32)))
	if text(e.algorithm) != "-" || text(e.customer.algorithm) != "AES256" || text(e.customer.key) != "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=" ||
		text(e.customer.md5) != "mT2HRsMGJ5IX5C+0rreZ8Q==" {
		t.Errorf("customer key: %s %s %s", text(e.customer.algorithm), text(e.customer.key), text(e.customer.md5))
	}
}

func TestCustomerKeyFile(t *testing.T) {
	for size, want := range map[int]string{0: "0 bytes", 31: "31 bytes", 32: "", 33: "", 1000: ""} {
		path := filepath.Join(t.TempDir(), "key")
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(i)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := settings{customerKeyFile: path}
		key, err := s.readCustomerKeyFile()
		switch {
		case want != "":
			if !errors.Is(err, CodeCustomerKey) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%d bytes: %v", size, err)
			}
		case err != nil || string(key) != string(content[:32]):
			t.Errorf("%d bytes: key of %d, %v", size, len(key), err)
		case (len(s.warnings) > 0) != (size > 32):
			t.Errorf("%d bytes: warnings %v", size, s.warnings)
		}
	}
	s := settings{customerKeyFile: "/absent/key"}
	if _, err := s.readCustomerKeyFile(); !errors.Is(err, os.ErrNotExist) || !errors.Is(err, CodeCustomerKey) {
		t.Errorf("absent file: %v", err)
	}
}

func TestTagging(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	tags := func(n int) string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, fmt.Sprintf("k%d=v", i))
		}
		return strings.Join(pairs, "&")
	}
	for in, want := range map[string]string{
		"a=b":                             "a=b",
		"a=":                              "a=",
		"a=b&c=d":                         "a=b&c=d",
		"a=b&c=d&e=f":                     "a=b&c=d&e=f",
		"a=" + long(256):                  "a=" + long(256),
		long(128) + "=b":                  long(128) + "=b",
		"a%20b=c%26d":                     "a%20b=c%26d",
		"a+b=c/d:e@f":                     "a+b=c/d:e@f",
		"cost centre=ünit":                "cost%20centre=%C3%BCnit",
		tags(10):                          tags(10),
		"a=" + strings.Repeat("%20", 256): "a=" + strings.Repeat("%20", 256),
	} {
		if got, err := parseTagging(in); err != nil || got != want {
			t.Errorf("%.40s: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"a", "=b", "a=b=c", "a=b&", "&a=b", "a=b&a=c", "a=b&%61=c", "aws:x=y", "AWS:x=y", "a=%zz", "a=%ff",
		"a=" + long(257), long(129) + "=b", tags(11),
	} {
		if got, err := parseTagging(in); err == nil {
			t.Errorf("%.40s is accepted as %q", in, got)
		}
	}
}

func FuzzTagging(f *testing.F) {
	for _, seed := range []string{"a=b", "a=b&c=d", "ü=%20", "=&=", "a=%", "a\nb=c", "a=b&&"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		header, err := parseTagging(in)
		if err != nil {
			return
		}
		if strings.ContainsFunc(header, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q gives the header %q", in, header)
		}
		again, err := parseTagging(header)
		if err != nil || again != header {
			t.Errorf("%q gives %q, and that %q, %v", in, header, again, err)
		}
	})
}

func FuzzCustomerKeyFile(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte(strings.Repeat("k", 31)))
	f.Add([]byte(strings.Repeat("k", 32)))
	f.Add([]byte(strings.Repeat("k", 32) + "\n"))
	path := filepath.Join(f.TempDir(), "key")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := settings{customerKeyFile: path}
		key, err := s.readCustomerKeyFile()
		if (err == nil) != (len(content) >= 32) {
			t.Fatalf("%d bytes: %v", len(content), err)
		}
		if err == nil && string(key) != string(content[:32]) {
			t.Errorf("key %x of %x", key, content)
		}
		if err != nil && len(content) > 3 && strings.Contains(err.Error(), string(content)) {
			t.Errorf("the error tells the key: %v", err)
		}
	})
}

func FuzzSecretKey(f *testing.F) {
	f.Add("name/key")
	f.Add("a/b/c")
	f.Add("/")
	f.Fuzz(func(t *testing.T, in string) {
		t.Setenv("VELERO_NAMESPACE", "velero")
		ref, err := parseSecretKey(in)
		if err == nil && ref.name+"/"+ref.key != in {
			t.Errorf("%q gives %+v", in, ref)
		}
	})
}
