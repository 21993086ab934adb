package plugintest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// Level says how serious it is when a plugin does not meet a row.
type Level int

const (
	// Must is a requirement on every plugin: without it backups or restores
	// fail, or lose data.
	Must Level = iota
	// Should is a requirement that many plugins do not meet: without it memory
	// or processes leak, or errors do not say what is wrong.
	Should
)

func (l Level) String() string {
	if l == Should {
		return "should"
	}
	return "must"
}

// Row is one requirement on a plugin.
type Row struct {
	ID       string // stable; group.name
	Level    Level
	Name     string // a few words
	Contract string // what is required, in a sentence

	// Consequence is what becomes of backups and restores where the requirement is
	// not met.
	Consequence string

	needs   []need
	timeout time.Duration // how long the row may take; 0 is two minutes
	waits   bool          // takes long but does nothing in that time
	run     func(context.Context, *session) error
}

// Group returns what the row is about, in a few words. Rows of a group have the
// same beginning of their ids.
func (r Row) Group() string {
	id, _, _ := strings.Cut(r.ID, ".")
	switch id {
	case "start":
		return "Start of the process"
	case "end":
		return "End of the process"
	case "call":
		return "Calls"
	case "log":
		return "Log"
	case "action":
		return "Actions on items"
	case "operation":
		return "Asynchronous operations"
	case "store":
		return "Object store"
	case "list":
		return "Lists of an object store"
	case "fault":
		return "Transfers that do not come to their end"
	case "snapshotter":
		return "Volume snapshotter"
	}
	return ""
}

// Rows returns all rows in the order in which they are best checked: those that
// mostly wait are the last.
func Rows() []Row {
	rows := slices.Concat(startRows(), endRows(), dispatchRows(), actionRows(), hostileRows(), operationRows(),
		storeRows(), listRows(), faultRows(), snapshotterRows())
	waiting := slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return !r.waits })
	return append(slices.DeleteFunc(rows, func(r Row) bool { return r.waits }), waiting...)
}

var errTooLong = errors.New("the row took longer than any sound plugin needs")

func (r Row) limit() time.Duration {
	if r.timeout == 0 {
		return 2 * time.Minute
	}
	return r.timeout
}

// need is a condition under which a row applies. It returns "" when it is met
// and otherwise the reason why the row does not apply.
type need func(*Suite) string

func store(s *Suite) string {
	switch {
	case s.listErr != nil:
		return "the plugin cannot be listed"
	case len(s.names(wire.ObjectStore)) == 0:
		return "the plugin lists no object store"
	case s.plugin.Store == nil:
		return "no configuration for the plugin's object store is given"
	}
	return ""
}

func stallLimited(s *Suite) string {
	if s.plugin.StallLimit == 0 {
		return "the plugin is not said to limit how long a download may stand still"
	}
	return ""
}

func breakable(s *Suite) string {
	if s.plugin.BreakBackend == nil {
		return "there is no way to break the backend"
	}
	return ""
}

func actions(s *Suite) string {
	if s.listErr == nil && len(s.actions()) > 0 {
		return ""
	}
	return "the plugin lists no action on items"
}

func restoreActions(s *Suite) string {
	for _, a := range s.actions() {
		if a.kind.Version1() == wire.RestoreItemAction {
			return ""
		}
	}
	return "the plugin lists no action on restored items"
}

func operations(s *Suite) string {
	for _, a := range s.actions() {
		if a.kind.Asynchronous() {
			return ""
		}
	}
	return "the plugin lists no action of version 2"
}

func panics(s *Suite) string {
	if s.plugin.Provoke == nil || len(s.plugin.Provoke.Panics) == 0 {
		return "the plugin has no action that panics on purpose"
	}
	return ""
}

func prints(s *Suite) string {
	if s.plugin.Provoke == nil || s.plugin.Provoke.Prints == nil {
		return "the plugin has no action that prints on purpose"
	}
	return ""
}
