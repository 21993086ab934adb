package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/kubevirt"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

const (
	namespace = "machines"
	location  = "default"
	bucket    = "machines"
)

// workload is how much is backed up.
type workload struct{ machines, disks int }

// bench is a cluster with the machines, and Velero.
type bench struct {
	plugin  string // the measured one, as built
	cluster *stack.ControlPlane
	velero  *stack.Velero
}

func prepare(ctx context.Context, servers *stack.Stack, plugins string, w workload) (*bench, error) {
	store, err := servers.StartMinIO(ctx, stack.MinIOOptions{})
	if err != nil {
		return nil, err
	}
	client, err := store.Client(store.TLSEndpoint)
	if err != nil {
		return nil, err
	}
	if err := client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		return nil, err
	}
	b := &bench{plugin: filepath.Join(plugins, measured)}
	if b.cluster, err = servers.StartControlPlane(ctx); err != nil {
		return nil, err
	}
	if err := b.fill(ctx, w); err != nil {
		return nil, err
	}
	b.velero, err = servers.StartVelero(ctx, b.cluster, stack.VeleroOptions{
		Plugins:   []string{filepath.Join(plugins, storePlugin)},
		Flags:     []string{"--client-qps=500", "--client-burst=500", "--log-level=info"},
		Locations: []stack.Location{store.S3Location(location, bucket)},
	})
	return b, err
}

// fill creates running machines with their disks, twenty at a time.
func (b *bench) fill(ctx context.Context, w workload) error {
	if err := kubevirt.Install(ctx, b.cluster.Dynamic); err != nil {
		return err
	}
	if err := b.cluster.CreateNamespace(ctx, namespace); err != nil {
		return err
	}
	slots := make(chan struct{}, 20)
	var done sync.WaitGroup
	var mu sync.Mutex
	var failures []error
	for i := range w.machines {
		slots <- struct{}{}
		done.Go(func() {
			defer func() { <-slots }()
			if err := b.machine(ctx, fmt.Sprintf("machine-%d", i), w.disks); err != nil {
				mu.Lock()
				failures = append(failures, err)
				mu.Unlock()
			}
		})
	}
	done.Wait()
	return errors.Join(failures...)
}

// machine creates a running machine.
func (b *bench) machine(ctx context.Context, name string, disks int) error {
	var volumes []any
	for i := range disks {
		disk := fmt.Sprintf("%s-%d", name, i)
		volumes = append(volumes, map[string]any{"name": disk, "dataVolume": map[string]any{"name": disk}})
		claim := map[string]any{"accessModes": []any{"ReadWriteOnce"}, "volumeName": "none-" + disk, "storageClassName": "none",
			"resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}}
		if err := errors.Join(
			b.create(ctx, "cdi.kubevirt.io/v1beta1", "DataVolume", disk, map[string]any{"source": map[string]any{"blank": map[string]any{}}}, map[string]any{"phase": "Succeeded"}),
			b.create(ctx, "v1", "PersistentVolumeClaim", disk, claim, map[string]any{"phase": "Bound"}),
		); err != nil {
			return err
		}
	}
	spec := map[string]any{"domain": map[string]any{"cpu": map[string]any{"cores": int64(2)}}, "volumes": volumes}
	pod := map[string]any{"containers": []any{map[string]any{"name": "compute", "image": "virt-launcher"}}}
	return errors.Join(
		b.create(ctx, "kubevirt.io/v1", "VirtualMachine", name, map[string]any{"runStrategy": "Always", "template": map[string]any{"spec": spec}},
			map[string]any{"printableStatus": "Running", "created": true}),
		b.create(ctx, "kubevirt.io/v1", "VirtualMachineInstance", name, spec, map[string]any{"phase": "Running"}),
		b.create(ctx, "v1", "Pod", name, pod, map[string]any{"phase": "Running"}),
	)
}

func (b *bench) create(ctx context.Context, version, kind, name string, spec, status map[string]any) error {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	o.SetAPIVersion(version)
	o.SetKind(kind)
	o.SetName(name)
	if kind == "Pod" {
		o.SetLabels(map[string]string{"kubevirt.io": "virt-launcher"})
		o.SetAnnotations(map[string]string{"kubevirt.io/domain": name})
	}
	resource, ok := kubevirt.Resource(o.GroupVersionKind().GroupKind())
	if !ok {
		resource = schema.GroupVersionResource{Version: version, Resource: strings.ToLower(kind) + "s"}
	}
	client := b.cluster.Dynamic.Resource(resource).Namespace(namespace)
	made, err := client.Create(ctx, o, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made.Object["status"] = status
	_, err = client.UpdateStatus(ctx, made, metav1.UpdateOptions{})
	return err
}

// reading is what a backup took.
type reading struct {
	time     time.Duration
	requests float64
	memory   int64 // the most that a process of the plugin had, in bytes
}

// read backs the namespace up.
func (b *bench) read(ctx context.Context, round int, plugin bool) (reading, error) {
	if err := b.restart(ctx, plugin); err != nil {
		return reading{}, err
	}
	before, err := b.requests(ctx)
	if err != nil {
		return reading{}, err
	}
	watched, stop := context.WithCancel(ctx)
	memory := make(chan int64, 1)
	go func() { memory <- peakMemory(watched, measured) }()
	start := time.Now()
	backup, err := b.velero.Backup(ctx, fmt.Sprintf("round-%d-%t", round+1, plugin), map[string]any{
		"includedNamespaces": []any{namespace}, "storageLocation": location,
	})
	r := reading{time: time.Since(start)}
	stop()
	r.memory = <-memory
	if err == nil && stack.Phase(backup) != "Completed" {
		err = fmt.Errorf("the backup is %s: %v", stack.Phase(backup), backup.Object["status"])
	}
	if err != nil {
		return r, err
	}
	after, err := b.requests(ctx)
	r.requests = after - before
	return r, err
}

// requests returns how many requests the API server has answered.
func (b *bench) requests(ctx context.Context) (float64, error) {
	text, err := b.cluster.Kubernetes.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "apiserver_request_total{") {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " ")+1:]), 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// peakMemory watches the processes of a program until ctx ends.
func peakMemory(ctx context.Context, program string) int64 {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	var peak int64
	for {
		select {
		case <-ctx.Done():
			return peak
		case <-ticker.C:
		}
		commands, err := filepath.Glob("/proc/[0-9]*/exe")
		if err != nil {
			return peak
		}
		for _, exe := range commands {
			target, err := os.Readlink(exe)
			if err != nil || filepath.Base(target) != program {
				continue
			}
			peak = max(peak, highWater(filepath.Join(filepath.Dir(exe), "status")))
		}
	}
}

// highWater reads the most memory that a process has had.
func highWater(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0 // the process has ended
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// restart restarts Velero with or without the plugin.
func (b *bench) restart(ctx context.Context, plugin bool) error {
	path := filepath.Join(b.velero.PluginDir, measured)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if plugin {
		program, err := os.ReadFile(b.plugin)
		if err != nil {
			return fmt.Errorf("%w; build the plugins with make build", err)
		}
		if err := os.WriteFile(path, program, 0o755); err != nil {
			return err
		}
	}
	return b.velero.Restart(ctx)
}
