package velerocompat

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
)

type deleteItemAction struct {
	action[velero.DeleteItemAction]
}

func (d deleteItemAction) Delete(_ context.Context, in sdk.DeleteInput) (sdk.DeleteResult, error) {
	impl, typed, err := d.forBackup(in.Backup)
	if err != nil {
		return sdk.DeleteResult{}, err
	}
	return sdk.DeleteResult{}, impl.Execute(&velero.DeleteItemActionExecuteInput{Item: in.Item, Backup: typed})
}
