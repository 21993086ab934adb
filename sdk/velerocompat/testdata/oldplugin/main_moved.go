//go:build ignore

package main

import (
	"github.com/oadp-plugins/oadp-plugins/sdk/velerocompat"
	"github.com/spf13/pflag"
)

func main() {
	velerocompat.NewServer().
		BindFlags(pflag.CommandLine).
		RegisterObjectStore("example.io/fs", newObjectStore).
		RegisterVolumeSnapshotter("example.io/disks", newVolumeSnapshotter).
		RegisterBackupItemAction("example.io/backup", newBackupAction).
		RegisterBackupItemActionV2("example.io/backup-v2", newBackupActionV2).
		RegisterRestoreItemAction("example.io/restore", newRestoreAction).
		RegisterRestoreItemActionV2("example.io/restore-v2", newRestoreActionV2).
		RegisterDeleteItemAction("example.io/delete", newDeleteAction).
		RegisterItemBlockAction("example.io/block", newItemBlockAction).
		Serve()
}
