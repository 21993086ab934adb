// Actions is a plugin with a part of every kind that all releases of Velero
// know, and of item block actions, which are announced to some only. Its
// answers show what reached it.
package main

import (
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

func main() {
	p := sdk.New("velero-plugin-actions", "test")
	p.VolumeSnapshotter("example.io/disks", func(*slog.Logger) sdk.VolumeSnapshotter { return &disks{} })
	p.BackupItemAction("example.io/stamp", stamp{})
	p.RestoreItemAction("example.io/stamp", stamp{})
	p.DeleteItemAction("example.io/stamp", stamp{})
	p.ItemBlockAction("example.io/stamp", stamp{})
	p.Main()
}
