package tools

// The tools that run pods, and Velero in them.
const (
	// KubernetesNode is kubelet, kube-scheduler and the program of pause
	// containers.
	KubernetesNode Tool = "node"
	// Containerd is the container runtime, with the network of its pods.
	Containerd Tool = "containerd"
	// Runc starts containers. It needs C libraries and so is not built here: it
	// is the machine's, or comes from a package of Debian's that is unpacked into
	// the cache. Where neither is to be had Ensure leaves it out and says so.
	Runc Tool = "runc"
	// VeleroHelpers are the programs that Velero's image holds beside it.
	VeleroHelpers Tool = "velero-helpers"
)

// Node lists the tools that run pods, and Velero in them.
func Node() []Tool { return []Tool{KubernetesNode, Containerd, Runc, VeleroHelpers} }

// The programs of a node.
const (
	Kubelet             Program = "kubelet"
	KubeScheduler       Program = "kube-scheduler"
	Pause               Program = "pause"
	ContainerdServer    Program = "containerd"
	ContainerdShim      Program = "containerd-shim-runc-v2"
	ContainerdCLI       Program = "ctr"
	CNIBridge           Program = "bridge"
	CNIHostLocal        Program = "host-local"
	RuncCLI             Program = "runc"
	VeleroHelper        Program = "velero-helper"
	VeleroRestoreHelper Program = "velero-restore-helper"
)

func nodeDefinitions() []definition {
	const (
		kubernetes = "k8s.io/kubernetes"
		containerd = "github.com/containerd/containerd/v2"
		cni        = "github.com/containernetworking/plugins"
	)
	return []definition{
		{
			tool:     KubernetesNode,
			dir:      pinnedIn("controlplane"),
			sources:  []string{pinnedIn("controlplane/kubelet"), pinnedIn("controlplane/pause")},
			estimate: "1 minute after the control plane",
			programs: []programDefinition{
				{name: Kubelet, pkg: "./kubelet", module: kubernetes, pin: semver, stamp: kubernetesVersion},
				{name: KubeScheduler, pkg: "./kubelet", module: kubernetes, pin: semver},
				{name: Pause, pkg: "./pause", module: kubernetes, pin: semver},
			},
		},
		{
			tool:     Containerd,
			dir:      pinnedIn("containerd"),
			estimate: "1 to 2 minutes",
			programs: []programDefinition{
				{name: ContainerdServer, pkg: containerd + "/cmd/containerd", module: containerd, pin: semver},
				{name: ContainerdShim, pkg: containerd + "/cmd/containerd-shim-runc-v2", module: containerd, pin: semver},
				{name: ContainerdCLI, pkg: containerd + "/cmd/ctr", module: containerd, pin: semver},
				{name: CNIBridge, pkg: cni + "/plugins/main/bridge", module: cni, pin: semver},
				{name: CNIHostLocal, pkg: cni + "/plugins/ipam/host-local", module: cni, pin: semver},
			},
		},
		{
			tool:     Runc,
			debian:   "runc",
			programs: []programDefinition{{name: RuncCLI, asked: versionFlag, printed: semver}},
		},
		{
			tool:     VeleroHelpers,
			dir:      pinnedIn("velero"),
			estimate: "half a minute",
			programs: []programDefinition{
				{name: VeleroHelper, pkg: veleroModule + "/cmd/velero-helper", module: veleroModule, pin: semver},
				{name: VeleroRestoreHelper, pkg: veleroModule + "/cmd/velero-restore-helper", module: veleroModule, pin: semver},
			},
		},
	}
}
