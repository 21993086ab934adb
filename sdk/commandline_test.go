package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// heap is an object store in memory.
type heap struct {
	mu       sync.Mutex
	config   map[string]string
	objects  map[string]string
	failWith map[string]error // by method
	closed   int
}

func (h *heap) Init(_ context.Context, in InitInput) (InitResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.config = in.Config
	if h.objects == nil {
		h.objects = map[string]string{}
	}
	return InitResult{}, h.failWith["Init"]
}

func (h *heap) PutObject(_ context.Context, in PutObjectInput) (PutObjectResult, error) {
	data, err := io.ReadAll(in.Body)
	if err != nil {
		return PutObjectResult{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.objects[in.Bucket+"/"+in.Key] = string(data)
	return PutObjectResult{}, h.failWith["PutObject"]
}

func (h *heap) ObjectExists(_ context.Context, in ObjectExistsInput) (ObjectExistsResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.objects[in.Bucket+"/"+in.Key]
	return ObjectExistsResult{Exists: ok}, h.failWith["ObjectExists"]
}

func (h *heap) GetObject(_ context.Context, in GetObjectInput) (GetObjectResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	data, ok := h.objects[in.Bucket+"/"+in.Key]
	if !ok {
		return GetObjectResult{}, fmt.Errorf("no object %s", in.Key)
	}
	return GetObjectResult{Body: io.NopCloser(strings.NewReader(data))}, h.failWith["GetObject"]
}

func (h *heap) ListCommonPrefixes(_ context.Context, in ListCommonPrefixesInput) (ListCommonPrefixesResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := map[string]bool{}
	for name := range h.objects {
		if rest, ok := strings.CutPrefix(name, in.Bucket+"/"+in.Prefix); ok {
			if folder, _, ok := strings.Cut(rest, in.Delimiter); ok {
				found[in.Prefix+folder+in.Delimiter] = true
			}
		}
	}
	var prefixes []string
	for p := range found {
		prefixes = append(prefixes, p)
	}
	return ListCommonPrefixesResult{Prefixes: prefixes}, h.failWith["ListCommonPrefixes"]
}

func (h *heap) ListObjects(context.Context, ListObjectsInput) (ListObjectsResult, error) {
	return ListObjectsResult{}, h.failWith["ListObjects"]
}

func (h *heap) DeleteObject(_ context.Context, in DeleteObjectInput) (DeleteObjectResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.objects, in.Bucket+"/"+in.Key)
	return DeleteObjectResult{}, h.failWith["DeleteObject"]
}

func (h *heap) CreateSignedURL(context.Context, CreateSignedURLInput) (CreateSignedURLResult, error) {
	return CreateSignedURLResult{URL: "http://127.0.0.1/"}, h.failWith["CreateSignedURL"]
}

func (h *heap) ConfigKeys() config.Keys {
	return config.Keys{config.String("region", "signing region")}
}

func (h *heap) Checks(_ context.Context, in ChecksInput) ([]Check, error) {
	return []Check{{"region", func(context.Context) (string, error) { return in.Config["region"], h.failWith["region"] }}}, h.failWith["Checks"]
}

func (h *heap) Close() error {
	h.closed++
	return nil
}

// run calls the command line of a plugin with the store h.
func run(t *testing.T, h *heap, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	p := New("velero-plugin-for-test", "v1.2.3")
	p.ObjectStore("velero.io/test", constant[ObjectStore](h))
	var o, e bytes.Buffer
	code = p.byHand(args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

const bsl = `
apiVersion: velero.io/v1
kind: BackupStorageLocation
metadata: {name: default, namespace: velero}
spec:
  provider: test
  credential: {name: cloud-credentials, key: cloud}
  objectStorage: {bucket: b, prefix: p, caCert: UEVN}
  config: {region: here}
`

func TestByHand(t *testing.T) {
	for _, c := range []struct {
		args     []string
		code     int
		out, err string // parts of the text; "" is nothing at all
	}{
		{nil, 1, "", "velero-plugin-for-test check"},
		{[]string{"--help"}, 0, "install DIR", ""},
		{[]string{"version"}, 0, "velero-plugin-for-test v1.2.3", ""},
		{[]string{"--version"}, 0, "v1.2.3", ""},
		{[]string{"config"}, 0, "signing region", ""},
		{[]string{"config", "--markdown"}, 0, "<!-- config: velero.io/test BackupStorageLocation -->\n| key |", ""},
		{[]string{"config", "--nonsense"}, 2, "", "nonsense"},
		{[]string{"frobnicate"}, 2, "", `no command "frobnicate"`},
		{[]string{"check"}, 2, "", "--location FILE"},
		{[]string{"check", "--location", "-", "--nonsense"}, 2, "", "nonsense"},
		{[]string{"install"}, 2, "", "install DIR"},
	} {
		code, out, errOut := run(t, &heap{}, bsl, c.args...)
		if code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, code, c.code)
		}
		for text, want := range map[string]string{out: c.out, errOut: c.err} {
			if want == "" && text != "" || !strings.Contains(text, want) {
				t.Errorf("%q: got %q, want %q", c.args, text, want)
			}
		}
	}
}

func TestOwnCommand(t *testing.T) {
	var got []string
	boom := errors.New("boom")
	p := New("velero-plugin-for-test", "v1")
	p.Command("serve", "serve files", func(_ context.Context, in CommandInput) error {
		got = in.Args
		return boom
	})
	p.Command("version", "not the SDK's", func(context.Context, CommandInput) error { panic("it hides the SDK's") })
	call := func(args ...string) (code int, out, errOut string) {
		var o, e bytes.Buffer
		code = p.byHand(args, strings.NewReader(""), &o, &e)
		return code, o.String(), e.String()
	}
	if code, _, errOut := call("serve", "--root", "/"); code != 1 || !strings.Contains(errOut, "serve: boom") || len(got) != 2 {
		t.Errorf("serve got %q and ended with %d, %q", got, code, errOut)
	}
	boom = nil
	if code, _, errOut := call("serve"); code != 0 || errOut != "" {
		t.Errorf("serve ended with %d, %q", code, errOut)
	}
	if code, out, _ := call("help"); code != 0 || !strings.Contains(out, "velero-plugin-for-test serve                serve files\n") {
		t.Errorf("help ended with %d, %s", code, out)
	}
	if code, out, _ := call("version"); code != 0 || !strings.Contains(out, "v1") {
		t.Errorf("version ended with %d, %s", code, out)
	}
}

func TestCheckWalksToTheEnd(t *testing.T) {
	h := &heap{}
	code, out, errOut := run(t, h, bsl, "check", "--location", "-")
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	last := -1
	for _, step := range []string{"region ", "init ", "list ", "put ", "get ", "sign ", "delete "} {
		at := strings.Index(out, "ok    "+step)
		if at <= last {
			t.Errorf("step %q is missing or out of order in\n%s", step, out)
		}
		last = at
	}
	if len(h.objects) != 0 {
		t.Errorf("left behind: %v", h.objects)
	}
	want := map[string]string{"region": "here", "bucket": "b", "prefix": "p", "caCert": "PEM",
		"credentialsFile": filepath.Join(os.TempDir(), "credentials/velero/cloud-credentials-cloud")}
	for key, value := range want {
		if h.config[key] != value {
			t.Errorf("Init got %s=%q, want %q", key, h.config[key], value)
		}
	}
}

func TestCheckStopsAtTheBrokenStep(t *testing.T) {
	boom := errors.New("boom")
	for method, step := range map[string]string{
		"Checks": "config", "region": "region", "Init": "init", "ListCommonPrefixes": "list", "PutObject": "put",
		"GetObject": "get", "CreateSignedURL": "sign", "DeleteObject": "delete",
	} {
		h := &heap{failWith: map[string]error{method: boom}}
		code, out, _ := run(t, h, bsl, "check", "--location", "-")
		if code != 1 {
			t.Errorf("%s fails: exit code %d", method, code)
		}
		_, last, _ := strings.Cut(out, "FAIL")
		if !strings.HasPrefix(strings.TrimSpace(last), step) || !strings.Contains(last, "boom") || strings.Contains(last, "ok ") {
			t.Errorf("%s fails:\n%s", method, out)
		}
		if method != "DeleteObject" && method != "PutObject" && len(h.objects) != 0 {
			t.Errorf("%s fails: left behind %v", method, h.objects)
		}
	}
}

func TestCheckNamesWhatIsWrongWithTheLocation(t *testing.T) {
	for name, c := range map[string]struct{ location, want string }{
		"other provider":  {strings.Replace(bsl, "provider: test", "provider: gcp", 1), "velero.io/gcp"},
		"foreign folders": {bsl, "photos/"},
		"no location":     {"kind: Pod", "BackupStorageLocation"},
	} {
		h := &heap{objects: map[string]string{"b/p/photos/1": "x"}}
		code, out, errOut := run(t, h, c.location, "check", "--location", "-")
		if code != 1 || !strings.Contains(out+errOut, c.want) {
			t.Errorf("%s: exit code %d, %s%s", name, code, out, errOut)
		}
	}
}

// Images of image streams are beside Velero's folders. Who follows the advice must
// not lose them.
func TestCheckNeverAdvisesToRemove(t *testing.T) {
	root := strings.Replace(bsl, "prefix: p", "prefix: \"\"", 1)
	for name, c := range map[string]struct{ key, want string }{
		"images":        {"b/docker/registry/v2/x", "do not remove it"},
		"other folders": {"b/photos/1", "give the location a prefix of its own in spec.objectStorage.prefix"},
	} {
		h := &heap{objects: map[string]string{c.key: "x"}}
		code, out, _ := run(t, h, root, "check", "--location", "-")
		if code != 1 || !strings.Contains(out, c.want) || !strings.Contains(out, "CHECK_FOREIGN_FOLDERS") || strings.Contains(out, "; remove") {
			t.Errorf("%s: exit code %d, %s", name, code, out)
		}
	}
}

func TestCheckSaysWhereKeysBelong(t *testing.T) {
	misplaced := strings.Replace(bsl, "config: {", "config: {prefix: mine, bucket: other, ", 1)
	if misplaced == bsl {
		t.Fatal("the location has no config")
	}
	_, out, _ := run(t, &heap{objects: map[string]string{}}, misplaced, "check", "--location", "-")
	for _, want := range []string{"prefix \"mine\" in spec.config has no effect: it belongs into spec.objectStorage.prefix", "spec.objectStorage.bucket"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestCheckTakesFilesInPlaceOfVelerosOwn(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, []byte("ANOTHER"), 0o600); err != nil {
		t.Fatal(err)
	}
	withRef := strings.Replace(bsl, "caCert: UEVN", "caCertRef: {name: ca, key: crt}", 1)
	code, _, errOut := run(t, &heap{}, withRef, "check", "--location", "-")
	if code != 2 || !strings.Contains(errOut, "--ca-file") {
		t.Errorf("caCertRef: exit code %d, %s", code, errOut)
	}
	h := &heap{}
	code, out, errOut := run(t, h, withRef, "check", "--location", "-", "--ca-file", ca, "--credentials-file", "/my/file")
	if code != 0 || h.config["caCert"] != "ANOTHER" || h.config["credentialsFile"] != "/my/file" {
		t.Errorf("exit code %d, config %v, %s%s", code, h.config, out, errOut)
	}
}

func TestInstallReplacesAnOlderFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "velero-plugin-for-test")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := run(t, &heap{}, "", "install", dir)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(self)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.Stat(target)
	if err != nil || got.Size() != want.Size() || got.Mode().Perm() != 0o755 {
		t.Errorf("installed %v, %v", got, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("other files: %v", entries)
	}
	if code, _, errOut := run(t, &heap{}, "", "install", filepath.Join(dir, "absent")); code != 1 || !strings.Contains(errOut, "absent") {
		t.Errorf("absent directory: exit code %d, %s", code, errOut)
	}
}
