// Velero-plugins is the plugin for OpenShift: it lets the objects of a
// namespace fit into another namespace, cluster or release.
//
// The table of actions is in table.go, and the forms of an action are in action.go. Each
// resource has a file of its name with its backup and its restore, such as route.go,
// but for these:
//
//	workload.go     DaemonSets, ReplicaSets, Deployments and StatefulSets
//	job.go          Jobs and CronJobs
//	rolebinding.go  RoleBindings and ClusterRoleBindings
//	scc.go          SecurityContextConstraints
//	nonadmin.go     objects of the self-service of OADP
//	stamp.go        what every backup and restore notes on objects that run images
//	trigger.go      the pause of image triggers while a workload is restored
//
// What several of them share:
//
//	registry.go     where the registry of the cluster is, and whether it is on
//	pullsecret.go   secrets with generated names, and references to them
//	images.go       names of images, from one registry to another
//	podfacts.go     the pods of a namespace
//	podvolumes.go   which volumes of a pod hold data
//	grants.go       which service accounts may use which SecurityContextConstraints
//	triggers.go     the annotation of image triggers
//
// The copy of images is package imagecopy; the variables of the environment are package
// settings; the keys of annotations and labels are package api.
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
