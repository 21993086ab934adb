// Command azure is the yardstick of the benchmarks: an object store plugin on
// Velero's plugin framework and the Azure SDK at its defaults, which sends one
// block of 1 MiB after the other. It is measured, never shipped.
package main

import (
	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"github.com/vmware-tanzu/velero/pkg/plugin/framework"
)

func main() {
	framework.NewServer().
		BindFlags(pflag.CommandLine).
		RegisterObjectStore("velero.io/azure", func(logrus.FieldLogger) (any, error) {
			return &objectStore{}, nil
		}).
		RegisterVolumeSnapshotter("velero.io/azure", func(logrus.FieldLogger) (any, error) {
			return &volumeSnapshotter{}, nil
		}).
		Serve()
}
