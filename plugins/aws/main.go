// Velero-plugin-for-aws keeps backups in S3 and in stores that speak its
// protocol, and takes snapshots of EBS volumes.
package main

import (
	"os"
	"runtime/debug"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/ebs"
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
	p := sdk.New("velero-plugin-for-aws", version)
	p.ObjectStore("velero.io/aws", func(host sdk.Host) (sdk.ObjectStore, error) { return s3.New(host.Logger), nil })
	p.VolumeSnapshotter("velero.io/aws", func(host sdk.Host) (sdk.VolumeSnapshotter, error) { return ebs.New(host.Logger), nil })
	p.Main()
}
