package velerocompat

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	itemblockv1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/itemblockaction/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type itemBlockAction struct {
	action[itemblockv1.ItemBlockAction]
}

func (i itemBlockAction) RelatedItems(_ context.Context, item *unstructured.Unstructured, backup *sdk.Backup) ([]sdk.ResourceIdentifier, error) {
	impl, typed, err := i.forBackup(backup)
	if err != nil {
		return nil, err
	}
	related, err := impl.GetRelatedItems(item, typed)
	return fromVelero(related), err
}
