// Package plugintest checks that a Velero plugin keeps the contract between the
// Velero server and its plugins. It takes any plugin binary, in any language,
// and drives it from outside: it starts the process as the server does and
// speaks to it over the wire.
//
// A plugin's own test is short:
//
//	func TestConformance(t *testing.T) {
//		plugintest.Run(t, plugintest.Plugin{
//			Path:  "bin/velero-plugin-for-example",
//			Store: &plugintest.StoreConfig{Config: map[string]string{"root": dir}, Bucket: "backups"},
//		})
//	}
//
// [Rows] returns the requirements. A row about a kind that the plugin does not list
// does not apply: its status is [NotApplicable]. Programs that are no Go tests use
// [Open], [Suite.Begin] and [Suite.Check].
//
// The package works on Linux only. Some rows need a process between the suite
// and the plugin. For these the suite starts its own executable once more, and the
// init function of a package below this one does what the process is for, so that
// the main function is not reached.
package plugintest

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// Plugin is a plugin to be checked, and what the suite needs to know about it.
type Plugin struct {
	// Path is the plugin's executable.
	Path string

	// Env is the environment of the plugin, as in [os/exec.Cmd]; nil is the
	// environment of this process. What Velero sets for a plugin is added.
	Env []string

	// Store lets the rows about object stores run.
	Store *StoreConfig

	// Snapshotter lets the rows about volume snapshotters run.
	Snapshotter *SnapshotterConfig

	// BreakBackend makes every request that the plugin sends to its backend
	// fail, until restore is called. Nil leaves out the rows that need it.
	BreakBackend func() (restore func())

	// StallLimit is how long the plugin lets a download stand still before it
	// gives up. 0 leaves out the row about it.
	StallLimit time.Duration

	// Items are samples for actions, by the action's name: items that the action
	// accepts. An action without samples is given a ConfigMap.
	Items map[string][]json.RawMessage

	// Operations are items with which actions begin operations that go on. They
	// let the rows about asynchronous operations run.
	Operations []Operation

	// Provoke lets the rows about misbehaving actions run.
	Provoke *Provocation

	// Skip names rows that are not to be run, each with the reason.
	Skip map[string]string
}

// StoreConfig says how to reach the backend of an object store.
type StoreConfig struct {
	// Name is the registered name; it may be empty when the plugin lists one
	// object store.
	Name string

	// Config is the spec.config of a backup storage location. The keys that
	// Velero adds to it are added here too.
	Config map[string]string

	// Alternate is another configuration that reaches the same bucket. With it
	// the suite switches between the two while objects are read and written.
	Alternate map[string]string

	// Bucket exists. The suite writes below a prefix of its own and removes all
	// of it in the end.
	Bucket string

	// LargeObject is the size of the object that memory is judged by, in bytes; 0
	// is 1 GiB.
	LargeObject int64

	// HTTPClient fetches signed URLs; nil is [http.DefaultClient].
	HTTPClient *http.Client
}

// SnapshotterConfig says how to use a volume snapshotter. The more of it is
// given, the more rows apply.
type SnapshotterConfig struct {
	// Name is the registered name; it may be empty when the plugin lists one
	// volume snapshotter.
	Name string

	// Config is the spec.config of a volume snapshot location, together with what
	// Velero adds to it.
	Config map[string]string

	// Alternate is another configuration that reaches the same volumes. With it
	// the suite switches between the two while calls go on.
	Alternate map[string]string

	// PersistentVolume is one of the snapshotter's own, as JSON. It need not be in
	// any cluster.
	PersistentVolume json.RawMessage

	// VolumeID is a volume that exists, that of PersistentVolume if both are set.
	// The suite takes snapshots of it and deletes them.
	VolumeID string

	// Zone is the zone of the volume.
	Zone string

	// AbsentSnapshotID has the form of a snapshot's id and belongs to none.
	AbsentSnapshotID string

	// DeleteVolume removes a volume that the suite has created, for which the
	// plugin protocol has no method. Nil leaves out the rows that create volumes.
	DeleteVolume func(ctx context.Context, volumeID string) error
}

// Operation names an action and an item for which it begins an operation.
type Operation struct {
	Kind string // BackupItemActionV2 or RestoreItemActionV2
	Name string
	Item json.RawMessage
}

// Provocation names an action and items with which it misbehaves on purpose.
// Real plugins have no such action; those that test an SDK do.
type Provocation struct {
	Kind string
	Name string

	// Panics are items at which the action panics, each with a text that the
	// answer has to contain.
	Panics map[string]json.RawMessage

	// Prints is an item at which the action writes 1 MiB to its standard output
	// and as much to its standard error, and then accepts the item.
	Prints json.RawMessage
}

// Run checks all rows, each as a subtest under its id.
func Run(t *testing.T, p Plugin) {
	t.Helper()
	suite, err := Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := suite.Close(); err != nil {
			t.Error(err)
		}
	}()
	rows := Rows()
	suite.Begin(t.Context(), rows)
	for _, row := range rows {
		t.Run(row.ID, func(t *testing.T) {
			report(t, suite.Check(t.Context(), row))
		})
	}
}

func report(t *testing.T, r Result) {
	t.Helper()
	for _, f := range r.Figures {
		t.Logf("%s: %s", r.Row.ID, f)
	}
	switch r.Status {
	case NotApplicable, Skipped:
		t.Skipf("%s: %s", r.Status, r.Reason)
	case Passed:
	default:
		t.Errorf("%s (%s)\nrequired: %s\nfound: %v\nstderr of the plugin:\n%s",
			r.Row.Name, r.Row.Level, r.Row.Contract, r.Err, r.Stderr)
	}
}
