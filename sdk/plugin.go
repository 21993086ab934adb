// Package sdk serves plugins to a Velero server. A plugin registers what it
// implements and calls Main:
//
//	func main() {
//		p := sdk.New("velero-plugin-for-example", version)
//		p.ObjectStore("example.io/fs", newStore)
//		p.BackupItemAction("example.io/stamp", stamp{})
//		p.Main()
//	}
//
// Started by Velero, the process serves these until Velero ends the operation.
// Started by hand, it is a command line that tells about the plugin and checks
// a location.
//
// Actions log with the default logger of log/slog, which writes what Velero
// reads. In a backup each line of level warn or error counts: one error makes
// the backup PartiallyFailed.
package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/hostlog"
	"github.com/oadp-plugins/oadp-plugins/sdk/internal/server"
)

// Plugin is one plugin binary: a set of named implementations. Registration is
// not concurrent and ends with the call of Main.
type Plugin struct {
	name    string
	version string
	log     *slog.Logger
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
	closers []io.Closer // implementations in use
}

// New returns a plugin binary without implementations. The name is that of its
// file among Velero's plugins; the version is what `PLUGIN version` prints.
func New(name, version string) *Plugin {
	return &Plugin{name: name, version: version, log: slog.New(slog.DiscardHandler)}
}

// ObjectStore registers an object store under a name such as example.io/fs. new
// is called once, on first use. An implementation of any kind that is an
// io.Closer is closed before the process ends; it has less than two seconds.
func (p *Plugin) ObjectStore(name string, new func(*slog.Logger) ObjectStore) {
	register(p, &p.objectStores, name, func() ObjectStore { return new(p.log) })
}

// VolumeSnapshotter registers a volume snapshotter. new is called once, on
// first use.
func (p *Plugin) VolumeSnapshotter(name string, new func(*slog.Logger) VolumeSnapshotter) {
	register(p, &p.volumeSnapshotters, name, func() VolumeSnapshotter { return new(p.log) })
}

// BackupItemAction registers an action on items that are backed up.
func (p *Plugin) BackupItemAction(name string, action BackupItemAction) {
	register(p, &p.backupItemActions, name, func() BackupItemAction { return action })
}

// RestoreItemAction registers an action on items that are restored.
func (p *Plugin) RestoreItemAction(name string, action RestoreItemAction) {
	register(p, &p.restoreItemActions, name, func() RestoreItemAction { return action })
}

// DeleteItemAction registers an action on the items of a backup that is
// deleted.
func (p *Plugin) DeleteItemAction(name string, action DeleteItemAction) {
	register(p, &p.deleteItemActions, name, func() DeleteItemAction { return action })
}

// ItemBlockAction registers an action that names related items.
func (p *Plugin) ItemBlockAction(name string, action ItemBlockAction) {
	register(p, &p.itemBlockActions, name, func() ItemBlockAction { return action })
}

// Command adds a command to those that the binary has when it is started by
// hand, such as the server behind a store's signed URLs. about is what the list
// of commands says of it. A name that the SDK has a command for stays the SDK's.
//
// run gets the arguments that follow the name. Its context ends with SIGINT and
// SIGTERM. An error is printed and makes the exit code 1; flag.ErrHelp is none.
func (p *Plugin) Command(name, about string, run func(ctx context.Context, args []string) error) {
	p.commands = append(p.commands, command{name, about, run})
}

// registry holds the implementations of one kind by their registered names.
type registry[T any] map[string]func() T

func register[T any](p *Plugin, r *registry[T], name string, get func() T) {
	if err := validName(name); err != nil {
		p.problems = append(p.problems, err)
	}
	if *r == nil {
		*r = registry[T]{}
	}
	if _, taken := (*r)[name]; taken {
		p.problems = append(p.problems, fmt.Errorf("%s is registered twice", name))
	}
	(*r)[name] = sync.OnceValue(func() T {
		implementation := get()
		if c, ok := any(implementation).(io.Closer); ok {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.closers = append(p.closers, c)
		}
		return implementation
	})
}

// find returns the implementation of that name. The first call of it may build
// the implementation and panics if that panics.
func (r registry[T]) find(name string) (T, error) {
	get, ok := r[name]
	if !ok {
		var none T
		return none, fmt.Errorf(" plugin: %s was not found or has an invalid name format", name)
	}
	return get(), nil
}

// names returns the registered names in order.
func (r registry[T]) names() []string {
	names := make([]string, 0, len(r))
	for name := range r {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// validName returns an error unless the host accepts the name: a DNS subdomain,
// a slash and anything but a slash.
func validName(name string) error {
	domain, rest, ok := strings.Cut(name, "/")
	if !ok || rest == "" || strings.Contains(rest, "/") || !subdomain(domain) {
		return fmt.Errorf("%q is no plugin name: use a domain, a slash and a name, as in example.io/name", name)
	}
	return nil
}

// subdomain reports whether s is a subdomain in the sense of RFC 1123.
func subdomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
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
	p.flags = server.ParseFlags(args[1:])
	p.log = slog.New(hostlog.New(os.Stderr, hostlog.Level(p.flags.LogLevel)))
	slog.SetDefault(p.log)
	s := server.New(p.log, server.LimitsFromEnv())
	err := s.Serve(p.services(s))
	p.close()
	return err
}

// closeTime is what implementations have for their Close. The host kills the
// process two seconds after it has asked for its end, and nobody does when the
// host has died.
const closeTime = 2 * time.Second

// close closes the implementations that were used and can be closed.
func (p *Plugin) close() {
	p.mu.Lock()
	closers := p.closers
	p.mu.Unlock()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, c := range closers {
			if err := c.Close(); err != nil {
				p.log.Debug("closing an implementation", "error", err)
			}
		}
	}()
	select {
	case <-closed:
	case <-time.After(closeTime):
		p.log.Debug("an implementation is still closing", "waited", closeTime.String())
	}
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
