package main

import (
	"github.com/spf13/pflag"
	"github.com/vmware-tanzu/velero/pkg/plugin/framework"
)

func main() {
	framework.NewServer().
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
