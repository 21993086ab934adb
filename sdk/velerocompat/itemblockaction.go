package velerocompat

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	itemblockv1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/itemblockaction/v1"
)

type itemBlockAction struct {
	action[itemblockv1.ItemBlockAction]
}

func (i itemBlockAction) RelatedItems(_ context.Context, in sdk.RelatedItemsInput) (sdk.RelatedItemsResult, error) {
	impl, typed, err := i.forBackup(in.Backup)
	if err != nil {
		return sdk.RelatedItemsResult{}, err
	}
	related, err := impl.GetRelatedItems(in.Item, typed)
	return sdk.RelatedItemsResult{Items: fromVelero(related)}, err
}
