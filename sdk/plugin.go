// Package sdk serves plugins to a Velero server. A plugin registers what it
// implements and calls Main:
//
//	func main() {
//		p := sdk.New("velero-plugin-for-example", version)
//		p.ObjectStore("example.io/fs", newStore)
//		p.BackupItemAction("example.io/stamp", newStamp)
//		p.Main()
//	}
//
// Started by Velero, the process serves these until Velero ends the operation.
// Started by hand, it is a command line that tells about the plugin and checks
// a location.
//
// Every constructor, such as newStore, gets a Host and returns a value of one of
// the interfaces of this package, or an error:
//
//	func newStore(host sdk.Host) (sdk.ObjectStore, error)
//
// Every method of these interfaces takes a context and one struct, and returns
// one struct and an error. Some of the structs are empty: when a version of
// Velero sends or reads more, they get fields, and no plugin has to change.
//
// Implementations log with Host.Logger. In a backup each line of level warn or
// error counts: one error makes the backup PartiallyFailed.
package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/hostlog"
	"github.com/oadp-plugins/oadp-plugins/sdk/internal/server"
	"google.golang.org/grpc"
)

// Plugin is one plugin binary: a set of named implementations. Register all of
// them from one goroutine, before the call of Main.
type Plugin struct {
	name    string
	version string
	log     *slog.Logger
	args    []string // of the process, without its name
	flags   server.Flags

	objectStores       registry[ObjectStore]
	volumeSnapshotters registry[VolumeSnapshotter]
	backupItemActions  registry[BackupItemAction]
	restoreItemActions registry[RestoreItemAction]
	deleteItemActions  registry[DeleteItemAction]
	itemBlockActions   registry[ItemBlockAction]

	commands  []command
	documents documents
	problems  []error // of registrations
	announced sync.Once

	mu      sync.Mutex
	closers []io.Closer // values in use that are closed at the end
}

// New returns a plugin binary without implementations. The name is that of its
// file among Velero's plugins; the version is what `PLUGIN version` prints.
func New(name, version string) *Plugin {
	return &Plugin{name: name, version: version, log: slog.New(slog.DiscardHandler), flags: server.ParseFlags(nil)}
}

// ObjectStore registers an object store. Locations name it in spec.provider.
//
// The name has a domain, as in example.io/fs. new is called on first use. When it
// fails, the call that needed the value fails, and the next call tries again. A
// value that is an io.Closer is closed once before the process ends, for which it
// has less than two seconds.
func (p *Plugin) ObjectStore(name string, new func(Host) (ObjectStore, error)) {
	register(p, &p.objectStores, kindObjectStore, name, new)
}

// VolumeSnapshotter registers a volume snapshotter. Locations name it in
// spec.provider. The rules for name and new are those of ObjectStore.
func (p *Plugin) VolumeSnapshotter(name string, new func(Host) (VolumeSnapshotter, error)) {
	register(p, &p.volumeSnapshotters, kindVolumeSnapshotter, name, new)
}

// BackupItemAction registers an action on items that are backed up. The rules
// for name and new are those of ObjectStore.
func (p *Plugin) BackupItemAction(name string, new func(Host) (BackupItemAction, error)) {
	register(p, &p.backupItemActions, kindBackupItemAction, name, new)
}

// RestoreItemAction registers an action on items that are restored. The rules
// for name and new are those of ObjectStore.
func (p *Plugin) RestoreItemAction(name string, new func(Host) (RestoreItemAction, error)) {
	register(p, &p.restoreItemActions, kindRestoreItemAction, name, new)
}

// DeleteItemAction registers an action on the items of a backup that is
// deleted. The rules for name and new are those of ObjectStore.
func (p *Plugin) DeleteItemAction(name string, new func(Host) (DeleteItemAction, error)) {
	register(p, &p.deleteItemActions, kindDeleteItemAction, name, new)
}

// ItemBlockAction registers an action that names related items. The rules for
// name and new are those of ObjectStore.
func (p *Plugin) ItemBlockAction(name string, new func(Host) (ItemBlockAction, error)) {
	register(p, &p.itemBlockActions, kindItemBlockAction, name, new)
}

// Command adds a command to those that the binary has when it is started by
// hand, such as the server behind a store's signed URLs. about is what the list
// of commands says of it. A command of the SDK hides one of the same name.
//
// The context of run ends with SIGINT and SIGTERM. An error of run is printed and
// makes the exit code 1, but for flag.ErrHelp, after which it is 0.
func (p *Plugin) Command(name, about string, run func(ctx context.Context, in CommandInput) error) {
	p.commands = append(p.commands, command{name, about, run})
}

// CommandInput is what a command works on.
type CommandInput struct {
	Args           []string // those behind the command's name
	Host           Host     // of a process that is started by hand; its Logger writes to Stderr
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Register registers the gRPC services of the plugin's kinds, with all methods
// that Velero calls. It is for programs that serve them by other means than Main,
// as package sdktest and module sdk/goplugin do. It returns what is wrong with the
// registrations of implementations.
func (p *Plugin) Register(r grpc.ServiceRegistrar) error {
	if err := errors.Join(p.problems...); err != nil {
		return err
	}
	for _, service := range p.services(server.New(p.log, server.LimitsFromEnv())) {
		r.RegisterService(&service, nil)
	}
	return nil
}

// Main runs the plugin and ends the process.
func (p *Plugin) Main() {
	if !server.Launched() {
		os.Exit(p.byHand(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if err := p.serve(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, p.name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve serves the plugin to the host that started the process.
func (p *Plugin) serve(args []string) error {
	if err := errors.Join(p.problems...); err != nil {
		return err
	}
	p.args = args[1:]
	p.flags = server.ParseFlags(p.args)
	p.log = slog.New(hostlog.New(os.Stderr, hostlog.Level(p.flags.LogLevel)))
	slog.SetDefault(p.log)
	s := server.New(p.log, server.LimitsFromEnv())
	err := s.Serve(p.services(s))
	p.close()
	return err
}

// revision returns the commit that the binary was built from, if it is known.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var commit, dirty string
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			commit = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "-dirty"
		}
	}
	return commit + dirty
}
