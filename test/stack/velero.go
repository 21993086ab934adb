package stack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	// Locations are there when the server starts.
	Locations []Location
}

// Velero is a running Velero server.
type Velero struct {
	// Binary is the command line, Env its environment.
	Binary string
	Env    []string
	// PluginDir is the server's plugin folder.
	PluginDir string
	// LogPath is the server's log, in JSON lines at debug level.
	LogPath string

	stack   *Stack
	cluster *ControlPlane
	program tools.Program
	args    []string
	server  *server
}

// Location is a backup storage location.
type Location struct {
	Name           string
	Provider       string
	Bucket, Prefix string
	Config         map[string]string
	CAPEM          []byte
	Credential     []byte // content of the credential's secret
	// Default makes it the location of backups that name none.
	Default bool
	// ValidationPeriod is how often Velero checks it; 0 is a minute.
	ValidationPeriod time.Duration
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
		if err := v.awaitLocation(ctx, location.Name); err != nil {
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
	return &Velero{
		Binary: argv[0],
		Env: append(env, "KUBECONFIG="+cluster.Kubeconfig, "VELERO_NAMESPACE="+VeleroNamespace,
			"VELERO_SCRATCH_DIR="+scratch, "LD_LIBRARY_PATH="+plugins),
		PluginDir: plugins,
		stack:     s,
		cluster:   cluster,
		program:   program,
		args: append([]string{"server", "--plugin-dir=" + plugins,
			"--metrics-address=" + metrics, "--profiler-address=" + profiler,
			"--log-level=debug", "--log-format=json", "--item-operation-sync-frequency=1s"}, options.Flags...),
	}, nil
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

// CLI runs the velero command line and returns what it prints.
func (v *Velero) CLI(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, v.Binary, args...)
	cmd.Env = v.Env
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("velero %s: %w\n%s%s", strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}

// AddLocation creates a backup storage location with its secret and waits
// until Velero, through the plugin, finds it available.
func (v *Velero) AddLocation(ctx context.Context, location Location) error {
	if err := v.createLocation(ctx, location); err != nil {
		return err
	}
	return v.awaitLocation(ctx, location.Name)
}

// RemoveLocation deletes a backup storage location with its secret. Velero
// then forgets the backups in it; the bucket keeps them.
func (v *Velero) RemoveLocation(ctx context.Context, name string) error {
	locations := v.Resource("backupstoragelocations")
	if err := locations.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	secrets := v.cluster.Kubernetes.CoreV1().Secrets(VeleroNamespace)
	if err := secrets.Delete(ctx, credentialName(name), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

func credentialName(location string) string { return "credential-" + location }

func (v *Velero) createLocation(ctx context.Context, location Location) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: credentialName(location.Name)},
		Data:       map[string][]byte{"cloud": location.Credential},
	}
	secrets := v.cluster.Kubernetes.CoreV1().Secrets(VeleroNamespace)
	if _, err := secrets.Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err := v.Resource("backupstoragelocations").Create(ctx, location.object(secret.Name), metav1.CreateOptions{})
	return err
}

func (v *Velero) awaitLocation(ctx context.Context, name string) error {
	return v.server.await(ctx, func(ctx context.Context) error {
		found, err := v.Resource("backupstoragelocations").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if phase := Phase(found); phase != "Available" {
			message, _, _ := unstructured.NestedString(found.Object, "status", "message")
			return fmt.Errorf("backup storage location %s is in phase %q: %s", name, phase, message)
		}
		return nil
	})
}

func (l Location) object(secret string) *unstructured.Unstructured {
	storage := map[string]any{"bucket": l.Bucket}
	if l.Prefix != "" {
		storage["prefix"] = l.Prefix
	}
	if l.CAPEM != nil {
		storage["caCert"] = base64.StdEncoding.EncodeToString(l.CAPEM)
	}
	config := map[string]any{}
	for key, value := range l.Config {
		config[key] = value
	}
	spec := map[string]any{
		"provider": l.Provider, "objectStorage": storage, "config": config,
		"credential": map[string]any{"name": secret, "key": "cloud"},
	}
	if l.Default {
		spec["default"] = true
	}
	if l.ValidationPeriod > 0 {
		spec["validationFrequency"] = l.ValidationPeriod.String()
	}
	return veleroObject("BackupStorageLocation", l.Name, spec)
}

// WriteFiles writes the location and its credential to files in a folder, for
// the check command of a plugin.
func (l Location) WriteFiles(dir string) (location, credential string, err error) {
	text, err := yaml.Marshal(l.object(credentialName(l.Name)).Object)
	if err != nil {
		return "", "", err
	}
	location = filepath.Join(dir, l.Name+".yaml")
	credential = filepath.Join(dir, l.Name+".credential")
	return location, credential, errors.Join(
		os.WriteFile(location, text, 0o600),
		os.WriteFile(credential, l.Credential, 0o600),
	)
}

// S3Location is a location at the TLS endpoint of m for the aws plugin.
func (m *MinIO) S3Location(name, bucket string) Location {
	return Location{
		Name: name, Provider: "velero.io/aws", Bucket: bucket, CAPEM: m.CAPEM,
		Config:     map[string]string{"region": Region, "s3ForcePathStyle": "true", "s3Url": m.TLSEndpoint},
		Credential: fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", m.AccessKey, m.SecretKey),
	}
}

// Resource is a client of one of Velero's resources in its namespace.
func (v *Velero) Resource(plural string) dynamic.ResourceInterface {
	return v.cluster.Dynamic.Resource(veleroGroup.WithResource(plural)).Namespace(VeleroNamespace)
}

var veleroGroup = schema.GroupVersion{Group: "velero.io", Version: "v1"}

func veleroObject(kind, name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(veleroGroup.WithKind(kind))
	object.SetNamespace(VeleroNamespace)
	object.SetName(name)
	return object
}

// Backup creates a backup and waits until it is finished. It returns it in its
// last state, in whatever phase that is.
func (v *Velero) Backup(ctx context.Context, name string, spec map[string]any) (*unstructured.Unstructured, error) {
	return v.runToEnd(ctx, "backups", veleroObject("Backup", name, spec))
}

// Restore creates a restore and waits until it is finished, as Backup does.
func (v *Velero) Restore(ctx context.Context, name string, spec map[string]any) (*unstructured.Unstructured, error) {
	return v.runToEnd(ctx, "restores", veleroObject("Restore", name, spec))
}

func (v *Velero) runToEnd(ctx context.Context, plural string, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	client := v.Resource(plural)
	if _, err := client.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	var last *unstructured.Unstructured
	err := v.server.await(ctx, func(ctx context.Context) error {
		found, err := client.Get(ctx, object.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		last = found
		switch phase := Phase(found); phase {
		case "Completed", "PartiallyFailed", "Failed", "FailedValidation":
			return nil
		default:
			return fmt.Errorf("%s %s is in phase %q", plural, object.GetName(), phase)
		}
	})
	return last, err
}

// Phase is status.phase of an object.
func Phase(object *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
	return phase
}

// DeleteBackup deletes a backup with its objects in the bucket and waits until
// it is gone.
func (v *Velero) DeleteBackup(ctx context.Context, name string) error {
	request := veleroObject("DeleteBackupRequest", name+"-deletion", map[string]any{"backupName": name})
	if _, err := v.Resource("deletebackuprequests").Create(ctx, request, metav1.CreateOptions{}); err != nil {
		return err
	}
	return v.AwaitBackup(ctx, name, false)
}

// AwaitBackup waits until Velero knows a backup, or until it knows it no more.
func (v *Velero) AwaitBackup(ctx context.Context, name string, known bool) error {
	return v.server.await(ctx, func(ctx context.Context) error {
		_, err := v.Resource("backups").Get(ctx, name, metav1.GetOptions{})
		switch {
		case err != nil && !apierrors.IsNotFound(err):
			return err
		case known != (err == nil):
			return fmt.Errorf("backup %s is known: %t", name, !known)
		}
		return nil
	})
}

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
