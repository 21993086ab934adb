package main

import (
	"fmt"
	"os"

	"github.com/sirupsen/logrus"
	"github.com/vmware-tanzu/velero/pkg/plugin/clientmgmt"
	"github.com/vmware-tanzu/velero/pkg/plugin/framework"
	"github.com/vmware-tanzu/velero/pkg/plugin/framework/common"
	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
)

// serverFlags is what a plugin finds behind its name: the flags of the Velero
// server.
var serverFlags = []string{"--log-level=info", "--features="}

// becomeServer makes Velero's client, which hands os.Args[2:] to every plugin,
// believe that this is `velero server`.
func becomeServer() {
	os.Args = append([]string{os.Args[0], "server"}, serverFlags...)
}

// host runs one plugin process behind Velero's own client.
type host struct {
	velero.ObjectStore
	process pluginProcess
	manager clientmgmt.Manager
}

// startHost starts a plugin and initialises its store, which has the given name,
// for location.
func startHost(plugin, storeName string, location map[string]string, log logrus.FieldLogger) (*host, error) {
	h := &host{manager: clientmgmt.NewManager(log, logrus.InfoLevel, onePlugin{plugin, storeName})}
	store, err := h.manager.GetObjectStore(storeName)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plugin, err)
	}
	h.ObjectStore = store
	if h.process, err = childRunning(plugin); err != nil {
		h.stop()
		return nil, err
	}
	if err := h.Init(location); err != nil {
		h.stop()
		return nil, fmt.Errorf("%s: Init: %w", plugin, err)
	}
	return h, nil
}

// stop ends the process as Velero does at the end of a task.
func (h *host) stop() { h.manager.CleanupClients() }

// onePlugin is a plugin registry that knows one binary with one store.
type onePlugin struct{ path, storeName string }

func (p onePlugin) identifier(kind common.PluginKind) framework.PluginIdentifier {
	return framework.PluginIdentifier{Command: p.path, Kind: kind, Name: p.storeName}
}

func (p onePlugin) DiscoverPlugins() error { return nil }

func (p onePlugin) List(kind common.PluginKind) []framework.PluginIdentifier {
	return []framework.PluginIdentifier{p.identifier(kind)}
}

func (p onePlugin) Get(kind common.PluginKind, _ string) (framework.PluginIdentifier, error) {
	return p.identifier(kind), nil
}
