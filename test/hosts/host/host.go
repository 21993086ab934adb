package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"github.com/sirupsen/logrus"
	"github.com/vmware-tanzu/velero/pkg/plugin/clientmgmt"
	"github.com/vmware-tanzu/velero/pkg/plugin/clientmgmt/process"
	"github.com/vmware-tanzu/velero/pkg/plugin/framework/common"
)

// host is what a test calls. Its methods have the form that net/rpc wants.
type host struct {
	log      logrus.FieldLogger
	level    logrus.Level
	registry process.Registry

	mu      sync.Mutex
	manager clientmgmt.Manager
	used    map[plugin]reflect.Value // what the manager has given out
}

type plugin struct{ kind, name string }

func newHost(dir string, log logrus.FieldLogger, level logrus.Level) *host {
	h := &host{log: log, level: level, registry: process.NewRegistry(dir, log, level)}
	h.beginTask()
	return h
}

// beginTask makes a manager, of which Velero has one for each task.
func (h *host) beginTask() {
	h.manager = clientmgmt.NewManager(h.log, h.level, h.registry)
	h.used = map[plugin]reflect.Value{}
}

// Nothing is the argument or the reply of a method that has none.
type Nothing struct{}

// Discover does what the server does when it starts and replies with the names
// of the plugins by kind.
func (h *host) Discover(_ Nothing, reply *map[string][]string) error {
	if err := h.registry.DiscoverPlugins(); err != nil {
		return err
	}
	names := map[string][]string{}
	for kind := range common.AllPluginKinds() {
		for _, id := range h.registry.List(common.PluginKind(kind)) {
			names[kind] = append(names[kind], id.Name)
		}
	}
	*reply = names
	return nil
}

// EndTask ends the plugin processes, as the server does at the end of a task.
func (h *host) EndTask(Nothing, *Nothing) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.manager.CleanupClients()
	h.beginTask()
	return nil
}

// Call names a method of a plugin.
type Call struct {
	Kind, Name, Method string
	Args               []json.RawMessage
}

// Call calls a method of a plugin and replies with its results, but for the
// error, which becomes that of the call.
func (h *host) Call(call Call, reply *[]json.RawMessage) error {
	implementation, err := h.plugin(plugin{call.Kind, call.Name})
	if err != nil {
		return err
	}
	method := implementation.MethodByName(call.Method)
	if !method.IsValid() {
		return fmt.Errorf("%s has no method %s in this release", call.Kind, call.Method)
	}
	args, err := arguments(method.Type(), call.Args)
	if err != nil {
		return fmt.Errorf("%s.%s: %w", call.Kind, call.Method, err)
	}
	*reply, err = results(method.Call(args))
	return err
}

// plugin returns the same client for the whole task, which starts the plugin
// again, with its configuration, when it has died.
func (h *host) plugin(p plugin) (reflect.Value, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if implementation, ok := h.used[p]; ok {
		return implementation, nil
	}
	get := reflect.ValueOf(h.manager).MethodByName("Get" + p.kind)
	if !get.IsValid() {
		return reflect.Value{}, fmt.Errorf("this release has no kind %s", p.kind)
	}
	out := get.Call([]reflect.Value{reflect.ValueOf(p.name)})
	if err, failed := out[1].Interface().(error); failed {
		return reflect.Value{}, err
	}
	implementation := out[0].Elem()
	h.used[p] = implementation
	return implementation, nil
}
