package main

import (
	"context"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// grants is which constraints the roles of a scope, a namespace or the cluster,
// let their users use, and who has which role.
type grants struct {
	constraints map[string][]string // of roles, by name
	bindings    []binding
}

type binding struct {
	kind, role string
	subjects   []subject
}

type subject struct{ kind, namespace, name string }

func (s subject) is(account serviceAccount) bool {
	switch s.kind {
	case "ServiceAccount":
		return s.namespace == account.namespace && s.name == account.name
	case "User":
		return account.isUser(s.name)
	case "Group":
		return account.isIn(s.name)
	}
	return false
}

// granted returns the constraints that roles let an account use, by their names. Roles with every constraint, those of administrators, say
// nothing about what the account's pods need.
func (c *constraints) granted(ctx context.Context, t *velero.Task, account serviceAccount) (map[string]bool, error) {
	ofCluster, err := c.grantsIn(ctx, t, "", api.ClusterRoles, api.ClusterRoleBindings)
	if err != nil {
		return nil, err
	}
	ofNamespace, err := c.grantsIn(ctx, t, account.namespace, api.Roles, api.RoleBindings)
	if err != nil {
		return nil, err
	}
	granted := map[string]bool{}
	for _, b := range slices.Concat(ofCluster.bindings, ofNamespace.bindings) {
		if !slices.ContainsFunc(b.subjects, func(s subject) bool { return s.is(account) }) {
			continue
		}
		from := ofNamespace
		if b.kind == "ClusterRole" {
			from = ofCluster
		}
		for _, name := range from.constraints[b.role] {
			granted[name] = true
		}
	}
	return granted, nil
}

func (c *constraints) grantsIn(ctx context.Context, t *velero.Task, namespace string, roles, bindings schema.GroupVersionResource) (grants, error) {
	return c.grants.Get(ctx, t.Key(namespace), func(ctx context.Context) (grants, error) {
		found := grants{constraints: map[string][]string{}}
		err := c.cluster.Each(ctx, roles, namespace, kube.Selection{}, func(role *unstructured.Unstructured) {
			if names := usableConstraints(role); names != nil {
				found.constraints[role.GetName()] = names
			}
		})
		if err != nil {
			return found, err
		}
		err = c.cluster.Each(ctx, bindings, namespace, kube.Selection{}, func(object *unstructured.Unstructured) {
			found.bindings = append(found.bindings, readBinding(object))
		})
		return found, err
	})
}

func usableConstraints(role *unstructured.Unstructured) []string {
	var names []string
	for rule := range fields.Each(fields.ListAt(role.Object, "rules")) {
		has := func(field, value string) bool {
			return slices.ContainsFunc(slices.Collect(fields.Texts(fields.ListAt(rule, field))), func(v string) bool { return v == value || v == "*" })
		}
		if has("verbs", "use") && has("apiGroups", api.SecurityGroup) && has("resources", api.SecurityContextConstraints.Resource) {
			names = slices.AppendSeq(names, fields.Texts(fields.ListAt(rule, "resourceNames")))
		}
	}
	return names
}

func readBinding(object *unstructured.Unstructured) binding {
	b := binding{kind: fields.TextAt(object.Object, "roleRef", "kind"), role: fields.TextAt(object.Object, "roleRef", "name")}
	for s := range fields.Each(fields.ListAt(object.Object, "subjects")) {
		b.subjects = append(b.subjects, subject{fields.TextAt(s, "kind"), fields.TextAt(s, "namespace"), fields.TextAt(s, "name")})
	}
	return b
}
