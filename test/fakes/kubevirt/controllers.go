package kubevirt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// Controllers do in one namespace what KubeVirt, CDI and OVN-Kubernetes do with
// restored objects, as far as a restore meets it:
//
//   - A data volume takes its claim over if that says so; it waits for a claim
//     that it is told to wait for; else it makes a claim and fills it.
//   - A machine makes the data volumes of its templates and, if it is to run, its
//     instance; the instance makes its pod.
//   - A pool that is not paused makes machines with blank disks.
//   - The network of a machine fails if its address claim belongs to another one.
//
// What a disk holds is an annotation of its volume, ContentKey.
type Controllers struct {
	objects   dynamic.Interface
	namespace string
	work      string // what the current pass has written, or waits for
	imports   []string
}

// ContentKey is the annotation of a PersistentVolume with what is on the disk.
// Imported is what CDI has written to it.
const (
	ContentKey = "oadp-plugins.example/content"
	Imported   = "imported"
)

const (
	prePopulatedKey = "cdi.kubevirt.io/storage.prePopulated"
	populatedForKey = "cdi.kubevirt.io/storage.populatedFor"
)

// NewControllers returns the controllers of a namespace, which work in Settle and
// During only.
func NewControllers(objects dynamic.Interface, namespace string) *Controllers {
	return &Controllers{objects: objects, namespace: namespace}
}

// Imports returns the data volumes that CDI has filled since the last call.
func (c *Controllers) Imports() []string {
	imports := c.imports
	c.imports = nil
	return imports
}

// Settle works until there is nothing left to do.
func (c *Controllers) Settle(ctx context.Context) error {
	return stack.Await(ctx, func() error {
		if err := c.pass(ctx); err != nil {
			return fmt.Errorf("%w; before: %s", err, c.work)
		}
		if c.work != "" {
			return fmt.Errorf("the controllers of %s are still at work: %s", c.namespace, c.work)
		}
		return nil
	})
}

// betweenPasses is how long the controllers rest while something else is done.
const betweenPasses = 100 * time.Millisecond

// During works while do runs.
func (c *Controllers) During(ctx context.Context, do func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		ticker := time.NewTicker(betweenPasses)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-ticker.C:
				// What changes meanwhile is looked at again in the next pass.
				_ = c.pass(ctx)
			}
		}
	}()
	do()
	cancel()
	return <-done
}

func (c *Controllers) pass(ctx context.Context) error {
	c.work = ""
	for _, work := range []struct {
		kind string
		do   func(context.Context, *unstructured.Unstructured) error
	}{
		{"VirtualMachinePool", c.pool}, {"VirtualMachine", c.machine}, {"VirtualMachineInstance", c.instance}, {"DataVolume", c.volume},
	} {
		items, err := c.list(ctx, work.kind)
		if err != nil {
			return err
		}
		for i := range items {
			if items[i].GetDeletionTimestamp() == nil {
				if err := work.do(ctx, &items[i]); err != nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
					return err
				}
			}
		}
	}
	return c.bound(ctx)
}

// bound waits for claims that the cluster is binding.
func (c *Controllers) bound(ctx context.Context) error {
	claims, err := c.client(claimResource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, claim := range claims.Items {
		if fields.TextAt(claim.Object, "spec", "volumeName") != "" && fields.TextAt(claim.Object, "status", "phase") != "Bound" {
			c.work = "claim " + claim.GetName() + " is not bound"
		}
	}
	return nil
}

var (
	claimResource  = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	volumeResource = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}
	podResource    = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

func (c *Controllers) client(resource schema.GroupVersionResource) dynamic.ResourceInterface {
	return c.objects.Resource(resource).Namespace(c.namespace)
}

func (c *Controllers) of(kind string) dynamic.ResourceInterface {
	for _, k := range kinds {
		if k.kind == kind {
			return c.client(k.resource())
		}
	}
	panic("no kind " + kind)
}

func (c *Controllers) list(ctx context.Context, kind string) ([]unstructured.Unstructured, error) {
	list, err := c.of(kind).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// get returns an object, or nil.
func get(ctx context.Context, client dynamic.ResourceInterface, name string) (*unstructured.Unstructured, error) {
	found, err := client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return found, err
}

// setStatus sets fields of a status, if they differ.
func (c *Controllers) setStatus(ctx context.Context, client dynamic.ResourceInterface, o *unstructured.Unstructured, values map[string]any) error {
	status := fields.Child(o.Object, "status")
	changed := false
	for name, value := range values {
		if fmt.Sprint(status[name]) != fmt.Sprint(value) {
			status[name], changed = value, true
		}
	}
	if !changed {
		return nil
	}
	c.work = fmt.Sprintf("status of %s %s: %v", o.GetKind(), o.GetName(), values)
	_, err := client.UpdateStatus(ctx, o, metav1.UpdateOptions{})
	return err
}

func (c *Controllers) create(ctx context.Context, client dynamic.ResourceInterface, o *unstructured.Unstructured) error {
	c.work = "new " + o.GetKind() + " " + o.GetName()
	_, err := client.Create(ctx, o, metav1.CreateOptions{})
	return err
}

// volume is CDI.
func (c *Controllers) volume(ctx context.Context, dv *unstructured.Unstructured) error {
	name := dv.GetName()
	claimName := name
	prePopulated := fields.Annotation(dv, prePopulatedKey)
	if prePopulated != "" {
		claimName = prePopulated
	}
	claim, err := get(ctx, c.client(claimResource), claimName)
	if err != nil {
		return err
	}
	phase := ""
	switch {
	case claim == nil && prePopulated != "":
		phase = "Pending"
	case claim == nil:
		if err := c.fill(ctx, dv); err != nil {
			return err
		}
		c.imports = append(c.imports, name)
		return nil
	case metav1.IsControlledBy(claim, dv):
		phase = "Succeeded"
	case fields.Annotation(claim, populatedForKey) == name:
		claim.SetOwnerReferences([]metav1.OwnerReference{controllerOf(dv)})
		c.work = "owner of claim " + claim.GetName()
		_, err := c.client(claimResource).Update(ctx, claim, metav1.UpdateOptions{})
		return err
	default:
		// The webhook of CDI refuses such a data volume.
		phase = "Refused"
	}
	return c.setStatus(ctx, c.of("DataVolume"), dv, map[string]any{"phase": phase, "claimName": claimName})
}

func controllerOf(o *unstructured.Unstructured) metav1.OwnerReference {
	return *metav1.NewControllerRef(o, o.GroupVersionKind())
}

// fill makes the claim of a data volume and a volume with imported content.
func (c *Controllers) fill(ctx context.Context, dv *unstructured.Unstructured) error {
	volume := c.namespace + "-" + dv.GetName() + "-" + string(dv.GetUID())[:8]
	err := c.create(ctx, c.objects.Resource(volumeResource), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolume",
		"metadata": map[string]any{"name": volume, "annotations": map[string]any{ContentKey: Imported}},
		"spec": map[string]any{
			"capacity": map[string]any{"storage": "1Gi"}, "accessModes": []any{"ReadWriteOnce"}, "volumeMode": "Block",
			"persistentVolumeReclaimPolicy": "Retain", "hostPath": map[string]any{"path": "/dev/null"},
			"claimRef": map[string]any{"namespace": c.namespace, "name": dv.GetName()},
		},
	}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	claim := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolumeClaim",
		"metadata": map[string]any{"name": dv.GetName(), "labels": map[string]any{"app": "containerized-data-importer"}},
		"spec": map[string]any{
			"accessModes": []any{"ReadWriteOnce"}, "volumeMode": "Block", "storageClassName": "", "volumeName": volume,
			"resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}},
		},
	}}
	claim.SetOwnerReferences([]metav1.OwnerReference{controllerOf(dv)})
	return c.create(ctx, c.client(claimResource), claim)
}

// machine is the controller of virtual machines.
func (c *Controllers) machine(ctx context.Context, vm *unstructured.Unstructured) error {
	for template := range fields.Each(fields.ListAt(vm.Object, "spec", "dataVolumeTemplates")) {
		if err := c.fromTemplate(ctx, vm, template); err != nil {
			return err
		}
	}
	ready, err := c.disksReady(ctx, vm)
	if err != nil {
		return err
	}
	network, err := c.network(ctx, vm)
	if err != nil {
		return err
	}
	instance, err := get(ctx, c.of("VirtualMachineInstance"), vm.GetName())
	if err != nil {
		return err
	}
	run := fields.TextAt(vm.Object, "spec", "runStrategy") == "Always" || fields.BoolAt(vm.Object, "spec", "running")
	if run && ready && network && instance == nil {
		instance = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
			"metadata": map[string]any{"name": vm.GetName()},
			"spec":     fields.MapAt(vm.DeepCopy().Object, "spec", "template", "spec"),
		}}
		instance.SetOwnerReferences([]metav1.OwnerReference{controllerOf(vm)})
		if err := c.create(ctx, c.of("VirtualMachineInstance"), instance); err != nil {
			return err
		}
	}
	printable := "Stopped"
	switch {
	case !network:
		printable = "NetworkFailed"
	case instance != nil && hasCondition(instance, "Paused"):
		printable = "Paused"
	case instance != nil:
		printable = "Running"
	case !ready:
		printable = "Provisioning"
	}
	status := map[string]any{"printableStatus": printable, "created": instance != nil}
	for field, ref := range map[string]string{"instancetype": "instancetypeRef", "preference": "preferenceRef"} {
		if err := c.revision(ctx, vm, field, ref, status); err != nil {
			return err
		}
	}
	return c.setStatus(ctx, c.of("VirtualMachine"), vm, status)
}

// fromTemplate makes a data volume of a machine, unless it exists.
func (c *Controllers) fromTemplate(ctx context.Context, vm *unstructured.Unstructured, template map[string]any) error {
	name := fields.TextAt(template, "metadata", "name")
	present, err := get(ctx, c.of("DataVolume"), name)
	if err != nil || present != nil {
		return err
	}
	dv := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": map[string]any{"name": name}, "spec": template["spec"],
	}}
	dv.SetLabels(vm.GetLabels())
	dv.SetOwnerReferences([]metav1.OwnerReference{controllerOf(vm)})
	return c.create(ctx, c.of("DataVolume"), dv)
}

// disksReady reports whether all disks of a machine can be used.
func (c *Controllers) disksReady(ctx context.Context, vm *unstructured.Unstructured) (bool, error) {
	ready := true
	for volume := range fields.Each(fields.ListAt(vm.Object, "spec", "template", "spec", "volumes")) {
		if name := fields.TextAt(volume, "dataVolume", "name"); name != "" {
			dv, err := get(ctx, c.of("DataVolume"), name)
			if err != nil {
				return false, err
			}
			ready = ready && dv != nil && fields.TextAt(dv.Object, "status", "phase") == "Succeeded"
		}
		if name := fields.TextAt(volume, "persistentVolumeClaim", "claimName"); name != "" {
			claim, err := get(ctx, c.client(claimResource), name)
			if err != nil {
				return false, err
			}
			ready = ready && claim != nil && fields.TextAt(claim.Object, "status", "phase") == "Bound"
		}
	}
	return ready, nil
}

// network is the controller of addresses, for a machine with a network primary.
// It makes the claim of the address, and takes over none that it has not made.
func (c *Controllers) network(ctx context.Context, vm *unstructured.Unstructured) (bool, error) {
	for network := range fields.Each(fields.ListAt(vm.Object, "spec", "template", "spec", "networks")) {
		if fields.TextAt(network, "name") != "primary" {
			continue
		}
		name := vm.GetName() + ".primary"
		claim, err := get(ctx, c.of("IPAMClaim"), name)
		if err != nil {
			return false, err
		}
		if claim != nil {
			return metav1.IsControlledBy(claim, vm), nil
		}
		claim = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "k8s.cni.cncf.io/v1alpha1", "kind": "IPAMClaim",
			"metadata": map[string]any{"name": name, "labels": map[string]any{"kubevirt.io/vm": vm.GetName()}},
			"spec":     map[string]any{"network": "tenant", "interface": "ovn-udn1"},
		}}
		claim.SetOwnerReferences([]metav1.OwnerReference{controllerOf(vm)})
		if err := c.create(ctx, c.of("IPAMClaim"), claim); err != nil {
			return false, err
		}
		if claim, err = get(ctx, c.of("IPAMClaim"), name); err != nil {
			return false, err
		}
		return true, c.setStatus(ctx, c.of("IPAMClaim"), claim, map[string]any{"ips": []any{"10.0.0.5/24", "fd00::5/64"}})
	}
	return true, nil
}

// revision notes which revision of an instance type or a preference a machine
// uses. It makes one of the present type if the machine names none.
func (c *Controllers) revision(ctx context.Context, vm *unstructured.Unstructured, field, ref string, status map[string]any) error {
	matcher := fields.MapAt(vm.Object, "spec", field)
	if matcher == nil {
		return nil
	}
	name := fields.TextAt(matcher, "revisionName")
	if name == "" {
		name = fields.TextAt(vm.Object, "status", ref, "controllerRevisionRef", "name")
	}
	revisions := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "controllerrevisions"}
	if name == "" {
		name = vm.GetName() + "-" + fields.TextAt(matcher, "name") + "-" + string(vm.GetUID())[:8]
		err := c.create(ctx, c.client(revisions), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": map[string]any{"name": name}, "revision": int64(1),
			"data": map[string]any{"spec": map[string]any{"of": fields.TextAt(matcher, "name")}},
		}})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	found, err := get(ctx, c.client(revisions), name)
	if err != nil {
		return err
	}
	if found == nil {
		status["printableStatus"] = "RevisionMissing"
		return nil
	}
	status[ref] = map[string]any{"controllerRevisionRef": map[string]any{"name": name}}
	return nil
}

// instance is the controller of instances, and the node.
func (c *Controllers) instance(ctx context.Context, vmi *unstructured.Unstructured) error {
	name := "virt-launcher-" + vmi.GetName()
	pod, err := get(ctx, c.client(podResource), name)
	if err != nil {
		return err
	}
	if pod == nil {
		var volumes []any
		for volume := range fields.Each(fields.ListAt(vmi.Object, "spec", "volumes")) {
			claim := fields.TextAt(volume, "dataVolume", "name") + fields.TextAt(volume, "persistentVolumeClaim", "claimName")
			if claim != "" {
				volumes = append(volumes, map[string]any{"name": fields.TextAt(volume, "name"), "persistentVolumeClaim": map[string]any{"claimName": claim}})
			}
		}
		annotations := map[string]any{"kubevirt.io/domain": vmi.GetName()}
		for key, value := range vmi.GetAnnotations() {
			if strings.Contains(key, "hook.backup.velero.io/") {
				annotations[key] = value
			}
		}
		pod = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{
				"name": name, "annotations": annotations,
				"labels": map[string]any{"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": string(vmi.GetUID())},
			},
			"spec": map[string]any{
				"nodeName": "", "volumes": volumes,
				"containers": []any{map[string]any{"name": "compute", "image": "virt-launcher"}},
			},
		}}
		pod.SetOwnerReferences([]metav1.OwnerReference{controllerOf(vmi)})
		return c.create(ctx, c.client(podResource), pod)
	}
	if !hasCondition(pod, "Ready") {
		ready := []any{map[string]any{"type": "Ready", "status": "True"}}
		if err := c.setStatus(ctx, c.client(podResource), pod, map[string]any{"phase": string(corev1.PodRunning), "conditions": ready}); err != nil {
			return err
		}
	}
	return c.setStatus(ctx, c.of("VirtualMachineInstance"), vmi, map[string]any{
		"phase": "Running", "activePods": map[string]any{string(pod.GetUID()): "node"},
	})
}

func hasCondition(o *unstructured.Unstructured, condition string) bool {
	return slices.ContainsFunc(slices.Collect(fields.Each(fields.ListAt(o.Object, "status", "conditions"))), func(c map[string]any) bool {
		return c["type"] == condition && c["status"] == "True"
	})
}

// pool is the controller of pools.
func (c *Controllers) pool(ctx context.Context, pool *unstructured.Unstructured) error {
	if fields.BoolAt(pool.Object, "spec", "paused") {
		return nil
	}
	replicas, _ := fields.At(pool.Object, "spec", "replicas").(int64)
	for i := range replicas {
		name := fmt.Sprintf("%s-%d", pool.GetName(), i)
		present, err := get(ctx, c.of("VirtualMachine"), name)
		if err != nil {
			return err
		}
		if present != nil {
			continue
		}
		spec := fields.MapAt(pool.DeepCopy().Object, "spec", "virtualMachineTemplate", "spec")
		for template := range fields.Each(fields.ListAt(spec, "dataVolumeTemplates")) {
			fields.MapAt(template, "metadata")["name"] = name
		}
		for volume := range fields.Each(fields.ListAt(spec, "template", "spec", "volumes")) {
			if dv := fields.MapAt(volume, "dataVolume"); dv != nil {
				dv["name"] = name
			}
		}
		vm := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": map[string]any{"name": name}, "spec": spec,
		}}
		vm.SetOwnerReferences([]metav1.OwnerReference{controllerOf(pool)})
		if err := c.create(ctx, c.of("VirtualMachine"), vm); err != nil {
			return err
		}
	}
	return nil
}
