// Velero-plugin-for-microsoft-azure keeps backups in Azure Blob storage, and takes
// snapshots of managed disks.
package main

import (
	"os"
	"runtime/debug"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/azuredisk"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// version is set by the linker.
var version = "dev"

// garbagePercent keeps the heap close to what is in use. Uploads leave little
// garbage, and this takes a few MiB off the peak for 3 % of their CPU time.
const garbagePercent = 60

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	p := sdk.New("velero-plugin-for-microsoft-azure", version)
	p.ObjectStore("velero.io/azure", func(host sdk.Host) (sdk.ObjectStore, error) { return azblob.New(host.Logger), nil })
	p.VolumeSnapshotter("velero.io/azure", func(host sdk.Host) (sdk.VolumeSnapshotter, error) { return azuredisk.New(host.Logger), nil })
	p.Main()
}
