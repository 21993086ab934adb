// Velero-plugins is the plugin for OpenShift: it lets the objects of a
// namespace fit into another namespace, cluster or release.
package main

import (
	"os"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/client-go/rest"
)

// version is set by the linker.
var version = "dev"

func main() {
	p := sdk.New("velero-plugins", version)
	cluster := kube.New(func() (*rest.Config, error) { return kube.LoadConfig(os.Args[1:]) })
	a := newActions(cluster)
	register(p, a)
	p.Command(imagecopy.CleanCommand, imagecopy.CleanAbout, a.images.Clean)
	p.Main()
}
