// Command baseline is the yardstick of the benchmarks: an object store plugin
// as it comes out of Velero's plugin framework and the AWS SDK's uploader, both
// left at their defaults. It is measured, never shipped.
package main

import (
	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"github.com/vmware-tanzu/velero/pkg/plugin/framework"
)

func main() {
	framework.NewServer().
		BindFlags(pflag.CommandLine).
		RegisterObjectStore("velero.io/aws", func(log logrus.FieldLogger) (any, error) {
			return &objectStore{log: log}, nil
		}).
		RegisterVolumeSnapshotter("velero.io/aws", func(log logrus.FieldLogger) (any, error) {
			return &volumeSnapshotter{log: log}, nil
		}).
		Serve()
}
