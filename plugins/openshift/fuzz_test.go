package main

import (
	"context"
	"encoding/json"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// callAction calls an action of any form with an item and a Backup or Restore.
func callAction(ctx context.Context, implementation sdk.Applier, item *unstructured.Unstructured, owner json.RawMessage) error {
	raw, err := item.MarshalJSON()
	if err != nil {
		raw = []byte("{}")
	}
	switch a := implementation.(type) {
	case sdk.BackupItemAction:
		_, err = a.Backup(ctx, item, sdk.NewBackup(owner))
	case sdk.RestoreItemAction:
		_, err = a.Restore(ctx, sdk.RestoreInput{Item: item, FromBackup: sdk.NewDocument(raw), Restore: sdk.NewRestore(owner)})
	case sdk.ItemBlockAction:
		_, err = a.RelatedItems(ctx, item, sdk.NewBackup(owner))
	}
	return err
}
