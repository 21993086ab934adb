// Package tools provides the programs of the test stack: etcd, kube-apiserver
// and kube-controller-manager, the controllers of CSI volumes and snapshots, MinIO
// and other S3 stores, Azurite, and Velero.
// Each is pinned by a module of its own in a folder beside this file and built
// from source when no fitting binary is at hand.
//
// A program is looked for in the folder that OADP_STACK_BIN names, then on
// PATH, and is taken from there when it has the pinned minor release and at
// least the pinned patch. Otherwise it is built into the user's cache folder,
// outside the checkout, and found there the next time.
package tools

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Tool is what one module builds.
type Tool string

const (
	// ControlPlane is etcd, kube-apiserver and kube-controller-manager in one
	// executable.
	ControlPlane Tool = "controlplane"
	// MinIO is an S3 store.
	MinIO Tool = "minio"
	// VersityGW is an S3 store in a folder, and a server of AWS' IAM and STS APIs
	// for it.
	VersityGW Tool = "versitygw"
	// Rclone serves a folder as an S3 store.
	Rclone Tool = "rclone"
	// Registry is a registry of container images.
	Registry Tool = "registry"
	// Azurite is a Blob storage service. It runs on Node.js.
	Azurite Tool = "azurite"
	// Storage is what stands between the API server and a CSI driver: the
	// snapshot controller, and the sidecars that provision volumes and cut snapshots.
	Storage Tool = "storage"
	// Velero is the server and the command line.
	Velero Tool = "velero"
)

// All lists every tool.
func All() []Tool {
	var all []Tool
	for _, d := range definitions() {
		all = append(all, d.tool)
	}
	return all
}

// Core lists the tools that a backup and its restore need.
func Core() []Tool { return []Tool{ControlPlane, MinIO, Velero} }

// Program is one server or command of a tool.
type Program string

// The programs.
const (
	Etcd                  Program = "etcd"
	KubeAPIServer         Program = "kube-apiserver"
	KubeControllerManager Program = "kube-controller-manager"
	MinIOServer           Program = "minio"
	VersityGWServer       Program = "versitygw"
	RcloneServer          Program = "rclone"
	RegistryServer        Program = "registry"
	AzuriteBlob           Program = "azurite-blob"
	SnapshotController    Program = "snapshot-controller"
	CSISnapshotter        Program = "csi-snapshotter"
	CSIProvisioner        Program = "csi-provisioner"
	VeleroServer          Program = "velero"
)

// Commands gives the argument vector that starts each program: an absolute
// path and, for a program of a multi-call binary, its name.
type Commands map[Program][]string

// BinEnv names a folder whose binaries are preferred.
const BinEnv = "OADP_STACK_BIN"

// Ensure returns the commands of the programs of the given tools and builds
// what is missing, which takes minutes. Progress goes to w. Processes that ask
// for the same tools at the same time build them once.
func Ensure(ctx context.Context, w io.Writer, wanted ...Tool) (Commands, error) {
	root, err := CacheDir()
	if err != nil {
		return nil, err
	}
	commands := Commands{}
	var missing []source
	for _, tool := range wanted {
		src, err := openSource(tool)
		if err != nil {
			return nil, err
		}
		if found := installed(ctx, w, src); found != nil {
			commands.add(found)
			continue
		}
		if src.debian != "" {
			commands.add(src.unpackMissing(ctx, w, root))
			continue
		}
		if src.npm {
			commands.add(src.npmInstallMissing(ctx, w, root))
			continue
		}
		missing = append(missing, src)
		commands.add(src.commands(root))
	}
	return commands, buildMissing(ctx, w, root, missing)
}

func (c Commands) add(more Commands) {
	for program, argv := range more {
		c[program] = argv
	}
}

// CacheDir is the folder that built tools are kept in, each in a folder named
// by a digest of everything that decides its content.
func CacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the built servers: %w; set XDG_CACHE_HOME", err)
	}
	return filepath.Join(base, "oadp-plugins", "tools"), nil
}

// installed returns the commands of a tool that is on the machine already, or
// nil if one of its programs is absent or has another version.
func installed(ctx context.Context, w io.Writer, src source) Commands {
	commands := Commands{}
	for _, p := range src.programs {
		argv := src.find(ctx, w, p)
		if argv == nil {
			return nil
		}
		commands[p.name] = argv
	}
	return commands
}

func (s source) find(ctx context.Context, w io.Writer, p programDefinition) []string {
	if p.printed == nil {
		return nil
	}
	for _, argv := range s.candidates(p) {
		if _, err := os.Stat(argv[0]); err != nil {
			continue
		}
		found, err := p.probe(ctx, argv)
		want := s.versions[p.name]
		if err == nil && (want == nil || found.fits(want)) {
			return argv
		}
		if err == nil {
			err = fmt.Errorf("version %s does not fit %s", found, want)
		}
		fmt.Fprintf(w, "stack: not using %s: %v\n", argv[0], err)
	}
	return nil
}

// candidates are the commands that may start a program of the machine.
func (s source) candidates(p programDefinition) [][]string {
	var all [][]string
	if dir, err := filepath.Abs(os.Getenv(BinEnv)); err == nil && os.Getenv(BinEnv) != "" {
		all = append(all, []string{filepath.Join(dir, string(p.name))})
		if argv := s.command(p, filepath.Join(dir, string(s.tool))); len(argv) > 1 {
			all = append(all, argv)
		}
	}
	if path, err := exec.LookPath(string(p.name)); err == nil {
		all = append(all, []string{path})
	}
	return all
}
