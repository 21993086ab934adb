package velerocompat

import (
	"context"
	"fmt"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// action is an action of any kind.
type action[T velero.Applicable] struct{ *instance[T] }

func (a action[T]) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	impl, err := a.get()
	if err != nil {
		return sdk.Selector{}, err
	}
	selector, err := impl.AppliesTo()
	return sdk.Selector(selector), err
}

// forBackup returns the implementation and a Backup that it may change, as it
// may those of the framework. The JSON is decoded once for all items.
func (a action[T]) forBackup(backup sdk.Backup) (impl T, typed *velerov1.Backup, err error) {
	shared, err := sdk.Decode[velerov1.Backup](backup)
	if err != nil {
		return impl, nil, fmt.Errorf("the backup that Velero sent: %w", err)
	}
	impl, err = a.get()
	return impl, shared.DeepCopy(), err
}

// forRestore does for a Restore what forBackup does for a Backup.
func (a action[T]) forRestore(restore sdk.Restore) (impl T, typed *velerov1.Restore, err error) {
	shared, err := sdk.Decode[velerov1.Restore](restore)
	if err != nil {
		return impl, nil, fmt.Errorf("the restore that Velero sent: %w", err)
	}
	impl, err = a.get()
	return impl, shared.DeepCopy(), err
}

// replace gives item the content that an implementation has returned. One that
// returns none leaves the item as it was, whatever it has edited; that is why
// implementations get copies of items.
func replace(item *unstructured.Unstructured, returned runtime.Unstructured) {
	if returned != nil {
		item.Object = returned.UnstructuredContent()
	}
}

func fromVelero(ids []velero.ResourceIdentifier) []sdk.ResourceIdentifier {
	var out []sdk.ResourceIdentifier
	for _, id := range ids {
		out = append(out, sdk.ResourceIdentifier{Group: id.Group, Resource: id.Resource, Namespace: id.Namespace, Name: id.Name})
	}
	return out
}

func toVelero(ids []sdk.ResourceIdentifier) []velero.ResourceIdentifier {
	var out []velero.ResourceIdentifier
	for _, id := range ids {
		out = append(out, velero.ResourceIdentifier{
			GroupResource: schema.GroupResource{Group: id.Group, Resource: id.Resource},
			Namespace:     id.Namespace,
			Name:          id.Name,
		})
	}
	return out
}

func progress(p velero.OperationProgress) sdk.Progress {
	return sdk.Progress{
		Completed:   p.Completed,
		Err:         p.Err,
		Done:        p.NCompleted,
		Total:       p.NTotal,
		Units:       p.OperationUnits,
		Description: p.Description,
		Started:     p.Started,
		Updated:     p.Updated,
	}
}
