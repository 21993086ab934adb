package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/kubevirt"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/pluginbench"
)

const namespace = "machines"

// workload is how much is backed up.
type workload struct{ machines, disks int }

// bench is a cluster with the machines, and Velero.
type bench struct{ *pluginbench.Site }

func prepare(ctx context.Context, servers *stack.Stack, plugins string, w workload) (*bench, error) {
	site, err := pluginbench.Start(ctx, servers, plugins, measured, func(cluster *stack.ControlPlane) error { return w.fill(ctx, cluster) })
	return &bench{site}, err
}

// fill creates running machines with their disks.
func (w workload) fill(ctx context.Context, cluster *stack.ControlPlane) error {
	if err := kubevirt.Install(ctx, cluster.Dynamic); err != nil {
		return err
	}
	if err := cluster.CreateNamespace(ctx, namespace); err != nil {
		return err
	}
	return pluginbench.Make(w.machines, func(i int) error { return machine(ctx, cluster, fmt.Sprintf("machine-%d", i), w.disks) })
}

// machine creates a running machine.
func machine(ctx context.Context, cluster *stack.ControlPlane, name string, disks int) error {
	var volumes []any
	for i := range disks {
		disk := fmt.Sprintf("%s-%d", name, i)
		volumes = append(volumes, map[string]any{"name": disk, "dataVolume": map[string]any{"name": disk}})
		claim := map[string]any{"accessModes": []any{"ReadWriteOnce"}, "volumeName": "none-" + disk, "storageClassName": "none",
			"resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}}
		if err := errors.Join(
			create(ctx, cluster, "cdi.kubevirt.io/v1beta1", "DataVolume", disk, map[string]any{"source": map[string]any{"blank": map[string]any{}}}, map[string]any{"phase": "Succeeded"}),
			create(ctx, cluster, "v1", "PersistentVolumeClaim", disk, claim, map[string]any{"phase": "Bound"}),
		); err != nil {
			return err
		}
	}
	spec := map[string]any{"domain": map[string]any{"cpu": map[string]any{"cores": int64(2)}}, "volumes": volumes}
	pod := map[string]any{"containers": []any{map[string]any{"name": "compute", "image": "virt-launcher"}}}
	return errors.Join(
		create(ctx, cluster, "kubevirt.io/v1", "VirtualMachine", name, map[string]any{"runStrategy": "Always", "template": map[string]any{"spec": spec}},
			map[string]any{"printableStatus": "Running", "created": true}),
		create(ctx, cluster, "kubevirt.io/v1", "VirtualMachineInstance", name, spec, map[string]any{"phase": "Running"}),
		create(ctx, cluster, "v1", "Pod", name, pod, map[string]any{"phase": "Running"}),
	)
}

func create(ctx context.Context, cluster *stack.ControlPlane, version, kind, name string, spec, status map[string]any) error {
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
	client := cluster.Dynamic.Resource(resource).Namespace(namespace)
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
	if err := b.Restart(ctx, plugin); err != nil {
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
	backup, err := b.Velero.Backup(ctx, fmt.Sprintf("round-%d-%t", round+1, plugin), map[string]any{
		"includedNamespaces": []any{namespace}, "storageLocation": pluginbench.Location,
	})
	r := reading{time: time.Since(start)}
	stop()
	r.memory = <-memory
	if err := pluginbench.Completed(backup, err); err != nil {
		return r, err
	}
	after, err := b.requests(ctx)
	r.requests = after - before
	return r, err
}

// requests returns how many requests the API server has answered.
func (b *bench) requests(ctx context.Context) (float64, error) {
	text, err := b.Cluster.Kubernetes.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
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
