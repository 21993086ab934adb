// Velero-plugin-for-aws keeps backups in S3 and in stores that speak its
// protocol, and takes snapshots of EBS volumes.
package main

import (
	"log/slog"
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
	p.ObjectStore("velero.io/aws", func(log *slog.Logger) sdk.ObjectStore { return s3.New(log) })
	p.VolumeSnapshotter("velero.io/aws", func(log *slog.Logger) sdk.VolumeSnapshotter { return ebs.New(log) })
	p.Main()
}
