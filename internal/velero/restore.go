package velero

import (
	"fmt"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Restore is the Restore that an action works for.
type Restore struct {
	Task
	Spec struct {
		BackupName             string
		IncludedNamespaces     []string
		ExcludedNamespaces     []string
		NamespaceMapping       map[string]string
		ExistingResourcePolicy string
		Hooks                  struct{ Resources []HookResource }
	}
}

// RestoreOf reads the Restore that a call belongs to.
func RestoreOf(r sdk.Restore) (*Restore, error) {
	t, err := sdk.Decode[Restore](r)
	if err != nil {
		return nil, fmt.Errorf("the Restore that Velero sent: %w", err)
	}
	return t, nil
}

// TargetNamespace returns the namespace that the objects of a namespace are
// restored to.
func (r *Restore) TargetNamespace(namespace string) string {
	if mapped := r.Spec.NamespaceMapping[namespace]; mapped != "" {
		return mapped
	}
	return namespace
}

// accountNamespace is the place of the namespace in the names of service
// account users: system:serviceaccount:NAMESPACE:NAME.
const accountNamespace = 2

// TargetUser returns the name that a user has after the restore: those of
// service accounts contain their namespace.
func (r *Restore) TargetUser(user string) string {
	parts := strings.Split(user, ":")
	if len(parts) < accountNamespace+1 || len(parts) > accountNamespace+2 || parts[1] != "serviceaccount" {
		return user
	}
	parts[accountNamespace] = r.TargetNamespace(parts[accountNamespace])
	return strings.Join(parts, ":")
}

// TargetGroup returns the name that a group has after the restore: that of the
// service accounts of a namespace contains it.
func (r *Restore) TargetGroup(group string) string {
	parts := strings.Split(group, ":")
	if len(parts) != accountNamespace+1 || parts[1] != "serviceaccounts" {
		return group
	}
	parts[accountNamespace] = r.TargetNamespace(parts[accountNamespace])
	return strings.Join(parts, ":")
}

// LabelValue returns the value of RestoreLabel on what the restore creates.
func (r *Restore) LabelValue() string { return LabelValue(r.Metadata.Name) }

// BackedUp returns the item as it was backed up, or as it is now when that
// cannot be read. Velero takes the owners and the status off the latter.
func BackedUp(in sdk.RestoreInput) *unstructured.Unstructured {
	if in.FromBackup != nil {
		if object, err := in.FromBackup.Object(); err == nil {
			return object
		}
	}
	return in.Item
}
