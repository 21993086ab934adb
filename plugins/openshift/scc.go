package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// serviceAccount names an account.
type serviceAccount struct{ namespace, name string }

// isUser reports whether a user is the account. Without a name at its end it is
// every account of the namespace.
func (s serviceAccount) isUser(user string) bool {
	const prefix = "system:serviceaccount:"
	return user == prefix+s.namespace+":"+s.name || user == prefix+s.namespace
}

// isIn reports whether the account is a member of a group.
func (s serviceAccount) isIn(group string) bool {
	switch group {
	case "system:authenticated", "system:serviceaccounts", "system:serviceaccounts:" + s.namespace:
		return true
	}
	return false
}

// constraint is what decides who may use a SecurityContextConstraints.
type constraint struct {
	name          string
	users, groups []string
}

// shipped are the constraints that every cluster has, so that they need not
// come with a backup.
var shipped = []string{
	"anyuid", "hostaccess", "hostmount-anyuid", "hostmount-anyuid-v2", "hostnetwork", "hostnetwork-v2",
	"insights-runtime-extractor-scc", "machine-api-termination-handler", "nested-container", "node-exporter",
	"nonroot", "nonroot-v2", "privileged", "restricted", "restricted-v2", "restricted-v3",
}

// constraints finds the SecurityContextConstraints that service accounts may use, with
// lists that are made once for a backup.
type constraints struct {
	cluster  *kube.Cluster
	registry *clusterRegistry // which knows the API groups

	all    kube.Memo[[]constraint]
	grants kube.Memo[grants]
}

// of returns the names of the constraints that a service account may
// use: those that name it, and, unless every cluster has them, those of its
// groups and those that a role lets it use by name.
func (c *constraints) of(ctx context.Context, t *velero.Task, account serviceAccount) ([]string, error) {
	groups, err := c.registry.apiGroups(ctx, t)
	if err != nil || !groups[api.SecurityGroup] {
		return nil, err
	}
	all, err := c.all.Get(ctx, t.Key(), c.list)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	granted, err := c.granted(ctx, t, account)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, scc := range all {
		if slices.ContainsFunc(scc.users, account.isUser) ||
			!slices.Contains(shipped, scc.name) && (slices.ContainsFunc(scc.groups, account.isIn) || granted[scc.name]) {
			names = append(names, scc.name)
		}
	}
	return names, nil
}

func (c *constraints) list(ctx context.Context) ([]constraint, error) {
	var all []constraint
	err := c.cluster.Each(ctx, api.SecurityContextConstraints, "", kube.Selection{}, func(scc *unstructured.Unstructured) {
		all = append(all, constraint{
			name:   scc.GetName(),
			users:  slices.Collect(fields.Texts(fields.ListAt(scc.Object, "users"))),
			groups: slices.Collect(fields.Texts(fields.ListAt(scc.Object, "groups"))),
		})
	})
	return all, err
}

// restoreConstraint maps the namespaces in the users and groups.
func (a *actions) restoreConstraint(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil || len(r.Spec.NamespaceMapping) == 0 {
		return sdk.RestoreResult{}, err
	}
	before := slices.Collect(fields.Texts(fields.ListAt(in.Item.Object, "users")))
	fields.EditTexts(fields.ListAt(in.Item.Object, "users"), r.TargetUser)
	fields.EditTexts(fields.ListAt(in.Item.Object, "groups"), r.TargetGroup)
	added := slices.DeleteFunc(slices.Collect(fields.Texts(fields.ListAt(in.Item.Object, "users"))), func(user string) bool {
		return slices.Contains(before, user)
	})
	return sdk.RestoreResult{}, a.warnOfConstraint(ctx, in.Item.GetName(), added)
}

// warnOfConstraint warns if the cluster has the constraint already, so that
// Velero leaves it as it is, without users that now need it.
func (a *actions) warnOfConstraint(ctx context.Context, name string, users []string) error {
	if len(users) == 0 || name == "" {
		return nil
	}
	present, err := a.cluster.Get(ctx, api.SecurityContextConstraints, "", name)
	if present == nil {
		return err
	}
	has := slices.Collect(fields.Texts(fields.ListAt(present.Object, "users")))
	missing := slices.DeleteFunc(users, func(user string) bool { return slices.Contains(has, user) })
	if len(missing) > 0 {
		slog.Warn("the SecurityContextConstraints exists and lacks users that the restored pods may need; add them with oc adm policy add-scc-to-user",
			"constraint", name, "users", strings.Join(missing, ", "))
	}
	return nil
}
