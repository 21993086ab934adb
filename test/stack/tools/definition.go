package tools

import (
	"fmt"
	"path"
	"regexp"
	"slices"
)

// definition says how a tool is built. Its module is a folder of the checkout
// that pins the versions.
type definition struct {
	tool     Tool
	dir      string   // the module's folder, from the root of the checkout
	sources  []string // other folders whose files go into the build
	debian   string   // the package to unpack, for what no Go module builds; dir is then empty
	npm      bool     // dir has a package.json and its lock file, not a Go module
	programs []programDefinition
	estimate string // of the build, with nothing cached
}

// programDefinition says how a program is built and recognized. Programs of one
// package are one executable, which takes the program's name as its first
// argument.
type programDefinition struct {
	name    Program
	pkg     string
	module  string                                // whose version is the program's
	pin     *regexp.Regexp                        // that version in go.mod
	stamp   func(v version, text string) []string // variables that tell it to the program
	asked   []string                              // arguments at which the program prints it
	printed *regexp.Regexp                        // and how; nil if no other binary may stand in
}

// definitions lists the tools, those first that others share packages with.
func definitions() []definition {
	return slices.Concat([]definition{
		{
			tool:     ControlPlane,
			dir:      pinnedIn("controlplane"),
			estimate: "4 to 8 minutes",
			programs: []programDefinition{
				{name: Etcd, pkg: ".", module: "go.etcd.io/etcd/server/v3", pin: semver, asked: versionFlag, printed: semver},
				{name: KubeAPIServer, pkg: ".", module: "k8s.io/kubernetes", pin: semver, asked: versionFlag, printed: semver, stamp: kubernetesVersion},
				{name: KubeControllerManager, pkg: ".", module: "k8s.io/kubernetes", pin: semver, asked: versionFlag, printed: semver},
			},
		},
		{
			tool:     MinIO,
			dir:      pinnedIn("minio"),
			estimate: "2 to 4 minutes",
			programs: []programDefinition{{
				name: MinIOServer, pkg: "github.com/minio/minio", module: "github.com/minio/minio",
				pin: pseudo, asked: versionFlag, printed: release, stamp: minioVersion,
			}},
		},
		{
			tool:     VersityGW,
			dir:      pinnedIn("versitygw"),
			estimate: "2 minutes",
			programs: []programDefinition{{
				name: VersityGWServer, pkg: "github.com/versity/versitygw/cmd/versitygw", module: "github.com/versity/versitygw",
				pin: semver, asked: versionFlag, printed: semver, stamp: versityVersion,
			}},
		},
		{
			tool:     Rclone,
			dir:      pinnedIn("rclone"),
			estimate: "2 minutes",
			programs: []programDefinition{{
				name: RcloneServer, pkg: ".", module: "github.com/rclone/rclone", pin: semver, asked: []string{"version"}, printed: semver,
			}},
		},
		{
			tool:     Registry,
			dir:      pinnedIn("registry"),
			estimate: "1 to 2 minutes",
			programs: []programDefinition{{
				name: RegistryServer, pkg: distributionModule + "/cmd/registry", module: distributionModule,
				pin: semver, asked: versionFlag, printed: distribution,
			}},
		},
		{
			tool:     Azurite,
			dir:      pinnedIn("azurite"),
			npm:      true,
			programs: []programDefinition{{name: AzuriteBlob}},
		},
		{
			tool:     Storage,
			dir:      pinnedIn("storage"),
			estimate: "4 to 6 minutes",
			programs: []programDefinition{
				sidecar(SnapshotController, snapshotterModule),
				sidecar(CSISnapshotter, snapshotterModule),
				sidecar(CSIProvisioner, provisionerModule),
			},
		},
		{
			tool:     Velero,
			dir:      pinnedIn("velero"),
			estimate: "2 to 4 minutes",
			programs: []programDefinition{{
				name: VeleroServer, pkg: veleroModule + "/cmd/velero", module: veleroModule,
				pin: semver, asked: []string{"version", "--client-only"}, printed: semver, stamp: veleroVersion,
			}},
		},
	}, releaseDefinitions(), nodeDefinitions())
}

// pinnedIn is the folder of a module beside this package.
func pinnedIn(name string) string { return path.Join("test/stack/tools", name) }

func definitionOf(tool Tool) (definition, error) {
	all := definitions()
	i := slices.IndexFunc(all, func(d definition) bool { return d.tool == tool })
	if i < 0 {
		return definition{}, fmt.Errorf("no tool %q; there are %v", tool, All())
	}
	return all[i], nil
}

// packages returns the packages that are built, each once.
func (d definition) packages() []string {
	var packages []string
	for _, p := range d.programs {
		if !slices.Contains(packages, p.pkg) {
			packages = append(packages, p.pkg)
		}
	}
	return packages
}

// programsOf returns the programs that are built from a package.
func (d definition) programsOf(pkg string) []programDefinition {
	return slices.DeleteFunc(slices.Clone(d.programs), func(p programDefinition) bool { return p.pkg != pkg })
}

// executable is the name of the file that a package becomes.
func (d definition) executable(pkg string) string {
	programs := d.programsOf(pkg)
	if len(programs) > 1 {
		return string(d.tool)
	}
	return string(programs[0].name)
}

// command is how a program is started when its executable is at path.
func (d definition) command(p programDefinition, path string) []string {
	if len(d.programsOf(p.pkg)) > 1 {
		return []string{path, string(p.name)}
	}
	return []string{path}
}

// versionFlag is what most programs print their version at.
var versionFlag = []string{"--version"}

func kubernetesVersion(v version, text string) []string {
	const pkg = "k8s.io/component-base/version."
	return []string{
		pkg + "gitVersion=" + text, pkg + "gitTreeState=clean",
		fmt.Sprintf("%sgitMajor=%d", pkg, v[0]), fmt.Sprintf("%sgitMinor=%d", pkg, v[1]),
	}
}

func minioVersion(v version, _ string) []string {
	const pkg = "github.com/minio/minio/cmd."
	day := fmt.Sprintf("%04d-%02d-%02dT", v[0], v[1], v[2])
	return []string{
		pkg + "ReleaseTag=RELEASE." + day + fmt.Sprintf("%02d-%02d-%02dZ", v[3], v[4], v[5]),
		pkg + "Version=" + day + fmt.Sprintf("%02d:%02d:%02dZ", v[3], v[4], v[5]),
	}
}

const (
	snapshotterModule = "github.com/kubernetes-csi/external-snapshotter/v8"
	provisionerModule = "github.com/kubernetes-csi/external-provisioner/v6"
)

// sidecar defines a program of the Kubernetes CSI project, which prints a line
// such as "/bin/csi-snapshotter v8.6.0" when it is asked for its version.
func sidecar(name Program, module string) programDefinition {
	return programDefinition{
		name: name, pkg: module + "/cmd/" + string(name), module: module,
		pin: semver, asked: versionFlag, printed: sidecarLine,
		stamp: func(_ version, text string) []string { return []string{"main.version=" + text} },
	}
}

const distributionModule = "github.com/distribution/distribution/v3"

const veleroModule = "github.com/vmware-tanzu/velero"

func veleroVersion(_ version, text string) []string {
	return []string{veleroModule + "/pkg/buildinfo.Version=" + text}
}

func versityVersion(_ version, text string) []string { return []string{"main.Version=" + text} }
