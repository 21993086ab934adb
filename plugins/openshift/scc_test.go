package main

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// A service account takes along the constraints that name it, and those of
// others that were made for it.
func testConstraints(t *testing.T) {
	s := openShift(t)
	namespace, other := s.cluster.NewNamespace(t), s.cluster.NewNamespace(t)
	in := func(text string) string {
		return strings.NewReplacer("NS", namespace, "OTHER", other).Replace(text)
	}
	s.create(in(`{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: anyuid}, users: ["system:serviceaccount:NS:app"], groups: []}
---
{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: restricted-v2}, groups: ["system:authenticated"]}
---
{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: of-namespace-user}, users: ["system:serviceaccount:NS"]}
---
{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: of-group}, groups: ["system:serviceaccounts:NS"]}
---
{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: of-other}, users: ["system:serviceaccount:OTHER:app", "system:serviceaccount:NS:apple"], groups: ["system:serviceaccounts:OTHER"]}
---
{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: by-role}}
---
{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: by-cluster-role}}
---
{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: by-other-role}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: scc, namespace: NS}, rules: [{apiGroups: [security.openshift.io], resources: [securitycontextconstraints], resourceNames: [by-role, privileged], verbs: [use]}, {apiGroups: [security.openshift.io], resources: [securitycontextconstraints], resourceNames: [by-other-role], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: scc, namespace: NS}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: scc}, subjects: [{kind: ServiceAccount, name: app, namespace: NS}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: "NS-scc"}, rules: [{apiGroups: ["*"], resources: ["*"], resourceNames: [by-cluster-role], verbs: ["*"]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: "NS-scc"}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "NS-scc"}, subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccounts:NS"}]}`))
	s.requests.Take()
	account := func(name string) []string {
		item := in("{kind: ServiceAccount, metadata: {name: " + name + ", namespace: NS}}")
		_, result, err := backUp(t, s.actions, "02-serviceaccount-backup", item, in("{metadata: {uid: NS}}"))
		if err != nil {
			t.Fatal(err)
		}
		related, err := find[sdk.ItemBlockAction](t, s.actions, "02-serviceaccount-iba").RelatedItems(t.Context(), sdk.RelatedItemsInput{Item: fieldstest.Object(t, item), Backup: sdk.NewBackup(fieldstest.JSON(t, in("{metadata: {uid: NS}}")))})
		if err != nil || !slices.Equal(related.Items, result.AdditionalItems) {
			t.Errorf("related items %v, additional items %v, %v", related.Items, result.AdditionalItems, err)
		}
		var names []string
		for _, id := range related.Items {
			if id.Group != "security.openshift.io" || id.Resource != "securitycontextconstraints" || id.Namespace != "" {
				t.Errorf("identifier %+v", id)
			}
			names = append(names, id.Name)
		}
		slices.Sort(names)
		return names
	}
	if got, want := account("app"), []string{"anyuid", "by-cluster-role", "by-role", "of-group", "of-namespace-user"}; !slices.Equal(got, want) {
		t.Errorf("constraints of app: %v, want %v", got, want)
	}
	if got, want := account("other"), []string{"by-cluster-role", "of-group", "of-namespace-user"}; !slices.Equal(got, want) {
		t.Errorf("constraints of other: %v, want %v", got, want)
	}
	for range 50 {
		account("app")
	}
	if sent := s.requests.Take(); len(sent) > 6 {
		t.Errorf("the accounts of a namespace took the requests %v", sent)
	}
}

// A constraint that exists lacks the users of the mapped namespace, which the
// administrator is told.
func testConstraintWarning(t *testing.T) {
	s := openShift(t)
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	item := `{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: present}, users: ["system:serviceaccount:shop:app"]}`
	want := strings.Replace(item, "shop", "copy", 1)
	c := restoreCase{what: "absent", item: item, restore: pairs, want: want}
	c.run(t, s.actions, "20-SCC")
	if log.Len() > 0 {
		t.Errorf("the log has %s", &log)
	}
	s.create(item)
	c.run(t, s.actions, "20-SCC")
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "system:serviceaccount:copy:app") {
		t.Errorf("the log has %s", &log)
	}
}
