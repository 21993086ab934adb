// Package velerocompat serves implementations of Velero's own Go interfaces
// through the SDK. A plugin that was written against Velero's plugin framework
// moves by changing its main.go, in which this package takes the place of
// github.com/vmware-tanzu/velero/pkg/plugin/framework:
//
//	func main() {
//		velerocompat.NewServer().
//			RegisterObjectStore("example.io/fs", newObjectStore).
//			RegisterBackupItemAction("example.io/stamp", newStamp).
//			Serve()
//	}
//
// Of Velero only the interfaces and the API types are linked.
//
// Implementations are used as the framework uses them: made on first use,
// called concurrently, each call with an item and a Backup or Restore of its
// own. Their methods take no context, so that they run to their end even if
// Velero has gone away; the body of a PutObject ends with an error then. What
// they log goes to the SDK's log, with its level and its fields.
package velerocompat

import (
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
	backupv1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/backupitemaction/v1"
	itemblockv1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/itemblockaction/v1"
	restorev1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/restoreitemaction/v1"
	snapshotterv1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/volumesnapshotter/v1"
)

// HandlerInitializer makes an implementation. It is called on first use, and
// again on the next use when it has returned an error.
type HandlerInitializer = func(logger logrus.FieldLogger) (any, error)

// Server is a plugin binary with the methods of the framework's Server.
type Server struct {
	plugin *sdk.Plugin
	flags  *pflag.FlagSet
}

// NewServer returns a plugin binary without implementations. It has the name of
// its file and the version of its main module.
func NewServer() *Server {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	return &Server{plugin: sdk.New(filepath.Base(os.Args[0]), version)}
}

// Plugin returns the binary as the SDK sees it, for implementations of the SDK's
// own interfaces next to those of Velero's.
func (s *Server) Plugin() *sdk.Plugin { return s.plugin }

// BindFlags makes Serve parse the arguments of the process into flags. Those
// that are not declared there, as the many of the Velero server, are left out.
func (s *Server) BindFlags(flags *pflag.FlagSet) *Server {
	flags.ParseErrorsAllowlist.UnknownFlags = true
	s.flags = flags
	return s
}

// Serve runs the plugin and ends the process.
func (s *Server) Serve() {
	s.parse(os.Args[1:])
	s.plugin.Main()
}

func (s *Server) parse(args []string) {
	if s.flags == nil || s.flags.Parsed() {
		return
	}
	s.flags.Init(s.flags.Name(), pflag.ContinueOnError)
	_ = s.flags.Parse(args) // no argument may keep a plugin from starting
}

// RegisterObjectStore registers an ObjectStore of Velero's.
func (s *Server) RegisterObjectStore(name string, initializer HandlerInitializer) *Server {
	s.plugin.ObjectStore(name, func(host sdk.Host) (sdk.ObjectStore, error) {
		return objectStore{newInstance[velero.ObjectStore](initializer, host.Logger)}, nil
	})
	return s
}

// RegisterVolumeSnapshotter registers a VolumeSnapshotter of Velero's.
func (s *Server) RegisterVolumeSnapshotter(name string, initializer HandlerInitializer) *Server {
	s.plugin.VolumeSnapshotter(name, func(host sdk.Host) (sdk.VolumeSnapshotter, error) {
		return volumeSnapshotter{newInstance[snapshotterv1.VolumeSnapshotter](initializer, host.Logger)}, nil
	})
	return s
}

// RegisterBackupItemAction registers a BackupItemAction of Velero's.
func (s *Server) RegisterBackupItemAction(name string, initializer HandlerInitializer) *Server {
	s.plugin.BackupItemAction(name, func(host sdk.Host) (sdk.BackupItemAction, error) {
		return backupItemAction{newAction[backupv1.BackupItemAction](initializer, host)}, nil
	})
	return s
}

// RegisterBackupItemActionV2 registers a BackupItemAction of version 2 of Velero's.
func (s *Server) RegisterBackupItemActionV2(name string, initializer HandlerInitializer) *Server {
	s.plugin.BackupItemAction(name, func(host sdk.Host) (sdk.BackupItemAction, error) {
		return backupItemActionV2{newAction[backupV2](initializer, host)}, nil
	})
	return s
}

// RegisterRestoreItemAction registers a RestoreItemAction of Velero's.
func (s *Server) RegisterRestoreItemAction(name string, initializer HandlerInitializer) *Server {
	s.plugin.RestoreItemAction(name, func(host sdk.Host) (sdk.RestoreItemAction, error) {
		return restoreItemAction{newAction[restorev1.RestoreItemAction](initializer, host)}, nil
	})
	return s
}

// RegisterRestoreItemActionV2 registers a RestoreItemAction of version 2 of Velero's.
func (s *Server) RegisterRestoreItemActionV2(name string, initializer HandlerInitializer) *Server {
	s.plugin.RestoreItemAction(name, func(host sdk.Host) (sdk.RestoreItemAction, error) {
		return restoreItemActionV2{newAction[restoreV2](initializer, host)}, nil
	})
	return s
}

// RegisterDeleteItemAction registers a DeleteItemAction of Velero's.
func (s *Server) RegisterDeleteItemAction(name string, initializer HandlerInitializer) *Server {
	s.plugin.DeleteItemAction(name, func(host sdk.Host) (sdk.DeleteItemAction, error) {
		return deleteItemAction{newAction[velero.DeleteItemAction](initializer, host)}, nil
	})
	return s
}

// RegisterItemBlockAction registers an ItemBlockAction of Velero's.
func (s *Server) RegisterItemBlockAction(name string, initializer HandlerInitializer) *Server {
	s.plugin.ItemBlockAction(name, func(host sdk.Host) (sdk.ItemBlockAction, error) {
		return itemBlockAction{newAction[itemblockv1.ItemBlockAction](initializer, host)}, nil
	})
	return s
}

// RegisterObjectStores registers those of the map, by their names.
func (s *Server) RegisterObjectStores(initializers map[string]HandlerInitializer) *Server {
	return s.registerAll(initializers, s.RegisterObjectStore)
}

// RegisterVolumeSnapshotters registers those of the map, by their names.
func (s *Server) RegisterVolumeSnapshotters(initializers map[string]HandlerInitializer) *Server {
	return s.registerAll(initializers, s.RegisterVolumeSnapshotter)
}

// RegisterBackupItemActions registers those of the map, by their names.
func (s *Server) RegisterBackupItemActions(initializers map[string]HandlerInitializer) *Server {
	return s.registerAll(initializers, s.RegisterBackupItemAction)
}

// RegisterBackupItemActionsV2 registers those of the map, by their names.
func (s *Server) RegisterBackupItemActionsV2(initializers map[string]HandlerInitializer) *Server {
	return s.registerAll(initializers, s.RegisterBackupItemActionV2)
}

// RegisterRestoreItemActions registers those of the map, by their names.
func (s *Server) RegisterRestoreItemActions(initializers map[string]HandlerInitializer) *Server {
	return s.registerAll(initializers, s.RegisterRestoreItemAction)
}

// RegisterRestoreItemActionsV2 registers those of the map, by their names.
func (s *Server) RegisterRestoreItemActionsV2(initializers map[string]HandlerInitializer) *Server {
	return s.registerAll(initializers, s.RegisterRestoreItemActionV2)
}

// RegisterDeleteItemActions registers those of the map, by their names.
func (s *Server) RegisterDeleteItemActions(initializers map[string]HandlerInitializer) *Server {
	return s.registerAll(initializers, s.RegisterDeleteItemAction)
}

// RegisterItemBlockActions registers those of the map, by their names.
func (s *Server) RegisterItemBlockActions(initializers map[string]HandlerInitializer) *Server {
	return s.registerAll(initializers, s.RegisterItemBlockAction)
}

func (s *Server) registerAll(initializers map[string]HandlerInitializer, register func(string, HandlerInitializer) *Server) *Server {
	for name, initializer := range initializers {
		register(name, initializer)
	}
	return s
}
