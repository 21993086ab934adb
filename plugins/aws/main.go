// Velero-plugin-for-aws keeps backups in S3 and in stores that speak its
// protocol.
package main

import (
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// version is set by the linker.
var version = "dev"

func main() {
	p := sdk.New("velero-plugin-for-aws", version)
	p.ObjectStore("velero.io/aws", func(log *slog.Logger) sdk.ObjectStore { return s3.New(log) })
	p.Main()
}
