package velerocompat

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type deleteItemAction struct {
	action[velero.DeleteItemAction]
}

func (d deleteItemAction) Delete(_ context.Context, item *unstructured.Unstructured, backup *sdk.Backup) error {
	impl, typed, err := d.forBackup(backup)
	if err != nil {
		return err
	}
	return impl.Execute(&velero.DeleteItemActionExecuteInput{Item: item, Backup: typed})
}
