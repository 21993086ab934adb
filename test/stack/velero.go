package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// VeleroNamespace is where Velero looks for its own objects.
const VeleroNamespace = "velero"

// fieldManager owns what the stack applies.
const fieldManager = "oadp-stack"

// VeleroOptions chooses how the Velero server is started.
type VeleroOptions struct {
	// Server is the program to start; "" is tools.VeleroServer.
	Server tools.Program
	// Plugins are the plugin executables. They are copied into the plugin
	// folder, as their init containers would do.
	Plugins []string
	// Flags are further flags of the server.
	Flags []string
	// Env is added to the server's environment, which its plugins inherit.
	Env []string
	// Locations are there when the server starts.
	Locations []Location
}

// Velero is a running Velero server.
type Velero struct {
	VeleroClient
	// PluginDir is the server's plugin folder.
	PluginDir string
	// LogPath is the server's log, in JSON lines at debug level.
	LogPath string

	stack   *Stack
	program tools.Program
	args    []string
	server  *server
}

// Velero returns the server that the tests of a package share, started with
// s.VeleroOptions by the first call on the shared control plane.
func (s *Stack) Velero(t testing.TB) *Velero {
	t.Helper()
	cluster := s.ControlPlane(t)
	v := s.velero.get(t, func(ctx context.Context) (*Velero, error) {
		return s.StartVelero(ctx, cluster, s.VeleroOptions)
	})
	v.server.attach(t)
	return v
}

// StartVelero installs Velero's resource definitions and starts its server. It
// returns when the server has loaded its plugins and found its locations
// available.
func (s *Stack) StartVelero(ctx context.Context, cluster *ControlPlane, options VeleroOptions) (*Velero, error) {
	v, err := s.newVelero(cluster, options)
	if err != nil {
		return nil, err
	}
	if err := v.install(ctx); err != nil {
		return nil, fmt.Errorf("install Velero: %w", err)
	}
	for _, location := range options.Locations {
		if err := v.createLocation(ctx, location); err != nil {
			return nil, err
		}
	}
	if err := v.start(ctx); err != nil {
		return nil, err
	}
	for _, location := range options.Locations {
		if err := v.awaitLocation(ctx, location); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// start starts the server and waits until its controllers run.
func (v *Velero) start(ctx context.Context) error {
	if err := portFree("127.0.0.1:8080"); err != nil {
		return fmt.Errorf("the Velero server always binds port 8080: %w", err)
	}
	server, err := v.stack.start("velero", v.program, v.Env, v.args...)
	if err != nil {
		return err
	}
	v.server, v.LogPath = server, server.logPath
	return v.awaitControllers(ctx)
}

// Restart stops the server and starts it again. It then knows kinds that were
// defined since, which it else learns of within five minutes, and finds what
// is new in its locations, else within one. No other method may be called
// meanwhile.
func (v *Velero) Restart(ctx context.Context) error {
	v.Stop()
	return v.start(ctx)
}

func (s *Stack) newVelero(cluster *ControlPlane, options VeleroOptions) (*Velero, error) {
	plugins, err := s.folder("plugins")
	if err != nil {
		return nil, err
	}
	for _, path := range options.Plugins {
		if err := copyExecutable(path, filepath.Join(plugins, filepath.Base(path))); err != nil {
			return nil, fmt.Errorf("plugin: %w; build the plugins with make build", err)
		}
	}
	scratch, err := s.folder("scratch")
	if err != nil {
		return nil, err
	}
	env, err := s.cleanEnvironment("velero")
	if err != nil {
		return nil, err
	}
	metrics, err := s.address()
	if err != nil {
		return nil, err
	}
	profiler, err := s.address()
	if err != nil {
		return nil, err
	}
	program := cmp.Or(options.Server, tools.VeleroServer)
	argv, err := s.Command(program)
	if err != nil {
		return nil, err
	}
	v := &Velero{
		VeleroClient: VeleroClient{
			Binary: argv[0],
			Env: slices.Concat(env, []string{"KUBECONFIG=" + cluster.Kubeconfig, "VELERO_NAMESPACE=" + VeleroNamespace,
				"VELERO_SCRATCH_DIR=" + scratch, "LD_LIBRARY_PATH=" + plugins}, options.Env),
			cluster: cluster,
		},
		PluginDir: plugins,
		stack:     s,
		program:   program,
		args: append([]string{"server", "--plugin-dir=" + plugins,
			"--metrics-address=" + metrics, "--profiler-address=" + profiler,
			"--log-level=debug", "--log-format=json", "--item-operation-sync-frequency=1s"}, options.Flags...),
	}
	v.await = func(ctx context.Context, check func(context.Context) error) error { return v.server.await(ctx, check) }
	return v, nil
}

// awaitControllers waits for the answer to a server status request, which a
// controller gives once the server has loaded its plugins.
func (v *Velero) awaitControllers(ctx context.Context) error {
	requests := v.Resource("serverstatusrequests")
	request := veleroObject("ServerStatusRequest", "", map[string]any{})
	request.SetGenerateName("stack-")
	request, err := requests.Create(ctx, request, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return v.server.await(ctx, func(ctx context.Context) error {
		found, err := requests.Get(ctx, request.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if phase := Phase(found); phase != "Processed" {
			return fmt.Errorf("server status request in phase %q", phase)
		}
		return nil
	})
}

// Stop ends the server in order.
func (v *Velero) Stop() { v.server.stop() }

// Kill ends the server at once, whatever it is doing. Restart starts it again.
func (v *Velero) Kill() { v.server.kill() }

// install creates what the server finds in a cluster after `velero install`.
func (v *Velero) install(ctx context.Context) error {
	definitions, err := v.resourceDefinitions(ctx)
	if err != nil {
		return err
	}
	client := v.cluster.Dynamic.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for i := range definitions {
		_, err := client.Apply(ctx, definitions[i].GetName(), &definitions[i], metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
		if err != nil {
			return err
		}
	}
	if err := v.cluster.CreateNamespace(ctx, VeleroNamespace); err != nil {
		return err
	}
	if err := v.createDeployment(ctx); err != nil {
		return err
	}
	for i := range definitions {
		if err := v.cluster.awaitEstablished(ctx, client, definitions[i].GetName()); err != nil {
			return err
		}
	}
	return nil
}

// resourceDefinitions asks the binary for its custom resource definitions.
func (v *Velero) resourceDefinitions(ctx context.Context) ([]unstructured.Unstructured, error) {
	text, err := v.CLI(ctx, "install", "--crds-only", "--dry-run", "-o", "yaml")
	if err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	if err := yaml.Unmarshal([]byte(text), list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

func (c *ControlPlane) awaitEstablished(ctx context.Context, client dynamic.ResourceInterface, name string) error {
	return c.apiserver.await(ctx, func(ctx context.Context) error {
		found, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(found.Object, "status", "conditions")
		for _, condition := range conditions {
			fields, _ := condition.(map[string]any)
			if fields["type"] == "Established" && fields["status"] == "True" {
				return nil
			}
		}
		return fmt.Errorf("%s is not established", name)
	})
}

// createDeployment makes a deployment without pods: the server's own restore
// action for pod volumes reads it and fails the restore of every pod else.
func (v *Velero) createDeployment(ctx context.Context) error {
	deployment := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "velero"},
		"spec": map[string]any{
			"replicas": int64(0),
			"selector": map[string]any{"matchLabels": map[string]any{"deploy": "velero"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"deploy": "velero"}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "velero", "image": "velero/velero"}}},
			},
		},
	}}
	deployments := v.cluster.Dynamic.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"})
	_, err := deployments.Namespace(VeleroNamespace).Create(ctx, deployment, metav1.CreateOptions{})
	return err
}

func portFree(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return listener.Close()
}

func copyExecutable(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
