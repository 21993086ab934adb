// Kubevirt-velero-plugin is the plugin for virtual machines: it backs them up
// with all that they need, and restores them so that they start with their own
// disks.
package main

import (
	"os"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/client-go/rest"
)

// version is set by the linker.
var version = "dev"

func main() {
	p := sdk.New("kubevirt-velero-plugin", version)
	register(p, newActions(kube.New(func() (*rest.Config, error) { return kube.LoadConfig(os.Args[1:]) })))
	p.Main()
}
