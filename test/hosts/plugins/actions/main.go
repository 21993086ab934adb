// Actions is a plugin with a part of every kind that all releases of Velero
// know, and of item block actions, which are announced to some only. Its
// answers show what reached it.
package main

import (
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

func main() {
	p := sdk.New("velero-plugin-actions", "test")
	p.VolumeSnapshotter("example.io/disks", func(sdk.Host) (sdk.VolumeSnapshotter, error) { return &disks{}, nil })
	p.BackupItemAction("example.io/stamp", func(sdk.Host) (sdk.BackupItemAction, error) { return stamp{}, nil })
	p.RestoreItemAction("example.io/stamp", func(sdk.Host) (sdk.RestoreItemAction, error) { return stamp{}, nil })
	p.DeleteItemAction("example.io/stamp", func(sdk.Host) (sdk.DeleteItemAction, error) { return stamp{}, nil })
	p.ItemBlockAction("example.io/stamp", func(sdk.Host) (sdk.ItemBlockAction, error) { return stamp{}, nil })
	p.Main()
}
