package main

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"
	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

var servers stack.Stack

// TestMain leaves the servers out where inputs are tried by the million.
func TestMain(m *testing.M) {
	flag.Parse()
	if fuzz := flag.Lookup("test.fuzz"); fuzz.Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true" {
		os.Exit(m.Run())
	}
	servers.Main(m, tools.ControlPlane, tools.MinIO, tools.Registry)
}

// actionsAt returns actions in a cluster that answers as the handler does.
func actionsAt(t testing.TB, handler http.Handler) *actions {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newActions(kube.New(func() (*rest.Config, error) { return &rest.Config{Host: server.URL}, nil }))
}

// offline returns actions that must not ask the cluster anything.
func offline(t testing.TB) *actions {
	return actionsAt(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the action asks the cluster for %s %s", r.Method, r.URL)
	}))
}

// find returns an action by the first part of its name, such as "07-pod-restore".
func find[T any](t testing.TB, a *actions, name string) T {
	t.Helper()
	for _, action := range a.table() {
		if implementation, ok := action.implementation.(T); ok && strings.HasPrefix(action.name, name) {
			return implementation
		}
	}
	t.Fatalf("there is no action %s", name)
	panic("unreachable")
}

// restoreCase is an item that is restored, and what becomes of it. Objects are
// YAML; an absent one is empty.
type restoreCase struct {
	what    string
	item    string
	backup  string // the item as it was backed up, if it differs
	restore string
	want    string // the item afterwards; nothing means that it is unchanged
	skip    bool
	err     string // a part of the error
}

func (c restoreCase) run(t *testing.T, a *actions, name string) sdk.RestoreResult {
	t.Helper()
	item := fieldstest.Object(t, c.item)
	before := item.DeepCopy()
	asBackedUp := c.backup
	if asBackedUp == "" {
		asBackedUp = c.item
	}
	result, err := find[sdk.RestoreItemAction](t, a, name).Restore(t.Context(), sdk.RestoreInput{
		Item: item, FromBackup: sdk.NewDocument(fieldstest.JSON(t, asBackedUp)), Restore: sdk.NewRestore(fieldstest.JSON(t, c.restore)),
	})
	switch {
	case c.err != "":
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v, want %q in it", c.what, err, c.err)
		}
		return result
	case err != nil:
		t.Errorf("%s: %v", c.what, err)
		return result
	case result.Skip != c.skip:
		t.Errorf("%s: skipped is %t", c.what, result.Skip)
	}
	if c.skip {
		return result
	}
	want := before
	if c.want != "" {
		want = fieldstest.Object(t, c.want)
	}
	fieldstest.Equal(t, c.what, item, want)
	return result
}

// restoreCases runs cases of one action.
func restoreCases(t *testing.T, a *actions, name string, cases []restoreCase) {
	t.Helper()
	for _, c := range cases {
		c.run(t, a, name)
	}
}

// backUp runs a backup action.
func backUp(t *testing.T, a *actions, name, item, backup string) (*unstructured.Unstructured, sdk.BackupResult, error) {
	t.Helper()
	o := fieldstest.Object(t, item)
	result, err := find[sdk.BackupItemAction](t, a, name).Backup(t.Context(), sdk.BackupInput{Item: o, Backup: sdk.NewBackup(fieldstest.JSON(t, backup))})
	return o, result, err
}

// digestOf is the digest that tests write as a letter.
func digestOf(letter string) digest.Digest { return digest.FromString(letter) }
