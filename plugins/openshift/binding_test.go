package main

import (
	"testing"
)

const pairs = `{metadata: {name: r}, spec: {namespaceMapping: {shop: copy, copy: third, same: same}}}`

func TestRoleBinding(t *testing.T) {
	restoreCases(t, offline(t), "21-role-bindings", []restoreCase{
		{what: "pullers", item: `{kind: RoleBinding, metadata: {name: "system:image-pullers"}}`, skip: true},
		{what: "builders", item: `{kind: RoleBinding, metadata: {name: "system:image-builders"}}`, skip: true},
		{what: "deployers", item: `{kind: RoleBinding, metadata: {name: "system:deployers"}}`, skip: true},
		{what: "a role of the system", item: `{kind: RoleBinding, metadata: {name: "system:custom-role"}}`},
		{what: "a custom one", item: `{kind: RoleBinding, metadata: {name: custom}}`},
		{what: "no mapping", item: `{kind: RoleBinding, metadata: {name: a}, roleRef: {namespace: shop}, userNames: ["system:serviceaccount:shop:x"]}`},
		{what: "mapped", restore: pairs,
			item: `{kind: RoleBinding, metadata: {name: a, namespace: shop}, roleRef: {name: r, namespace: shop},
subjects: [{kind: ServiceAccount, name: x, namespace: shop}, {kind: ServiceAccount, name: x, namespace: other},
  {kind: SystemGroup, name: "system:serviceaccounts:shop"}, {kind: Group, name: "system:serviceaccounts"}, {kind: Group, name: shop},
  {kind: User, name: "system:serviceaccount:shop:x"}, {kind: User, name: "shop"}],
userNames: ["system:serviceaccount:shop:x", "shop", "system:serviceaccount:other:x", "system:serviceaccount:same:x"],
groupNames: ["system:serviceaccounts:shop", "system:serviceaccounts", "shop"]}`,
			want: `{kind: RoleBinding, metadata: {name: a, namespace: shop}, roleRef: {name: r, namespace: copy},
subjects: [{kind: ServiceAccount, name: x, namespace: copy}, {kind: ServiceAccount, name: x, namespace: other},
  {kind: SystemGroup, name: "system:serviceaccounts:copy"}, {kind: Group, name: "system:serviceaccounts"}, {kind: Group, name: shop},
  {kind: User, name: "system:serviceaccount:copy:x"}, {kind: User, name: "shop"}],
userNames: ["system:serviceaccount:copy:x", "shop", "system:serviceaccount:other:x", "system:serviceaccount:same:x"],
groupNames: ["system:serviceaccounts:copy", "system:serviceaccounts", "shop"]}`},
		{what: "mapped before by Velero", restore: pairs,
			item:   `{kind: RoleBinding, metadata: {name: a}, subjects: [{kind: ServiceAccount, name: x, namespace: copy}]}`,
			backup: `{kind: RoleBinding, metadata: {name: a}, subjects: [{kind: ServiceAccount, name: x, namespace: shop}]}`},
	})
}

func TestClusterRoleBinding(t *testing.T) {
	restoreCases(t, offline(t), "22-cluster-role-bindings", []restoreCase{
		{what: "mapped", restore: pairs,
			item: `{kind: ClusterRoleBinding, metadata: {name: a}, subjects: [{kind: ServiceAccount, name: x, namespace: shop}], userNames: ["system:serviceaccount:shop:x"]}`,
			want: `{kind: ClusterRoleBinding, metadata: {name: a}, subjects: [{kind: ServiceAccount, name: x, namespace: copy}], userNames: ["system:serviceaccount:copy:x"]}`},
		{what: "of OpenShift", restore: pairs,
			item: `{kind: ClusterRoleBinding, metadata: {name: a}, roleRef: {name: r, namespace: shop}, subjects: [{name: "system:serviceaccounts:shop"}, {name: "system:serviceaccount:shop:x"}, {name: shop}]}`,
			want: `{kind: ClusterRoleBinding, metadata: {name: a}, roleRef: {name: r, namespace: copy}, subjects: [{name: "system:serviceaccounts:copy"}, {name: "system:serviceaccount:copy:x"}, {name: shop}]}`},
		{what: "odd subjects", restore: pairs, item: `{kind: ClusterRoleBinding, subjects: [1, null, {kind: Group, name: 7}], groupNames: {a: b}, userNames: [null]}`},
	})
}

func TestConstraintMapping(t *testing.T) {
	restoreCases(t, offline(t), "20-SCC", []restoreCase{
		{what: "no mapping", item: `{kind: SecurityContextConstraints, metadata: {name: a}, users: ["system:serviceaccount:shop:x"]}`},
		{what: "other users", restore: pairs, item: `{kind: SecurityContextConstraints, metadata: {name: a}, users: ["system:admin", "a:b:c:d:e", "system:serviceaccount:other:x"]}`},
		{what: "groups", restore: pairs,
			item: `{kind: SecurityContextConstraints, metadata: {name: a}, groups: ["system:serviceaccounts:shop", "system:authenticated"]}`,
			want: `{kind: SecurityContextConstraints, metadata: {name: a}, groups: ["system:serviceaccounts:copy", "system:authenticated"]}`},
	})
}
