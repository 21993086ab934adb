package velero_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

func restoreOf(t *testing.T, text string) *velero.Restore {
	t.Helper()
	r, err := velero.RestoreOf(sdk.NewRestore(fieldstest.JSON(t, text)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Names and patterns of namespaces mean what they mean to Velero.
func TestIncludes(t *testing.T) {
	for _, c := range []struct {
		spec      string
		namespace string
		want      bool
	}{
		{"", "shop", true},
		{"includedNamespaces: ['*']", "shop", true},
		{"includedNamespaces: [shop]", "shop", true},
		{"includedNamespaces: [shop]", "shop2", false},
		{"includedNamespaces: [shop], excludedNamespaces: [shop]", "shop", false},
		{"excludedNamespaces: [pay]", "shop", true},
		{"excludedNamespaces: [pay]", "pay", false},
		{"includedNamespaces: ['shop-*']", "shop-1", true},
		{"includedNamespaces: ['shop-*']", "shop", false},
		{"includedNamespaces: ['s?op']", "shop", true},
		{"includedNamespaces: ['{app,shop}']", "shop", true},
		{"includedNamespaces: ['{app,shop}']", "pay", false},
		{"includedNamespaces: ['[!a]*']", "shop", true},
		{"includedNamespaces: ['[!a]*']", "app", false},
		{"includedNamespaces: ['[', shop]", "shop", false}, // Velero gives up at what it cannot read
	} {
		if got := restoreOf(t, "{spec: {"+c.spec+"}}").Includes(c.namespace); got != c.want {
			t.Errorf("%s includes %s: %t", c.spec, c.namespace, got)
		}
		if got := restoreOf(t, "{spec: {"+c.spec+"}}").IncludesTarget(c.namespace); got != c.want {
			t.Errorf("%s writes to %s: %t", c.spec, c.namespace, got)
		}
	}
	mapped := restoreOf(t, "{spec: {includedNamespaces: [shop], namespaceMapping: {shop: copy, pay: other}}}")
	for namespace, want := range map[string]bool{"copy": true, "shop": false, "other": false, "pay": false} {
		if got := mapped.IncludesTarget(namespace); got != want {
			t.Errorf("the restore writes to %s: %t", namespace, got)
		}
	}
}

// An item that names another namespace than the Restore covers is an error, as is
// one whose name would lead elsewhere.
func TestCheckScope(t *testing.T) {
	const limited = "{spec: {includedNamespaces: [shop]}}"
	const ofUser = "{metadata: {annotations: {openshift.io/oadp-nar-origin-namespace: shop}}}"
	in := func(namespace, name string) string {
		return fmt.Sprintf("{kind: ImageStream, metadata: {name: %q, namespace: %q}}", name, namespace)
	}
	for _, c := range []struct{ what, restore, item, original, err string }{
		{"everything", "", in("shop", "app"), "", ""},
		{"covered", limited, in("shop", "app"), "", ""},
		{"of the cluster", limited, "{kind: ClusterRole, metadata: {name: 'system:a'}}", "", ""},
		{"not covered", limited, in("openshift", "cli"), "", `does not include namespace "openshift"`},
		{"backed up elsewhere", limited, in("shop", "cli"), in("openshift", "cli"), `backed up in namespace "openshift"`},
		{"backed up as nothing", limited, in("shop", "app"), "{}", ""},
		{"a path as the namespace", "{spec: {includedNamespaces: ['shop*']}}", in("shop/../openshift", "cli"), "", "no name of a namespace"},
		{"a path as the name", "", in("shop", "../openshift/cli"), "", "another object"},
		{"of a user", ofUser, in("shop", "app"), "", ""},
		{"of a user, elsewhere", ofUser, in("openshift", "cli"), "", `does not include namespace "openshift"`},
	} {
		input := sdk.RestoreInput{Item: fieldstest.Object(t, c.item)}
		if c.original != "" {
			input.FromBackup = sdk.NewDocument(fieldstest.JSON(t, c.original))
		}
		err := restoreOf(t, c.restore).CheckScope(input)
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || !errors.Is(err, velero.CodeOutOfScope)):
			t.Errorf("%s: error %v, want %q in it", c.what, err, c.err)
		}
		var known *fault.Error
		if err != nil && !errors.As(err, &known) {
			t.Errorf("%s: %T", c.what, err)
		}
	}
}
