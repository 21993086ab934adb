// Package machines backs up and restores virtual machines with a real Velero
// server and the built plugins. Stand-ins for the controllers of KubeVirt and CDI
// make the machines, and work on what is restored.
package machines

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/kubevirt"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// testTimeout bounds a whole test: a plugin that hangs must not stop the run.
const testTimeout = 10 * time.Minute

// stepTimeout bounds a step of a test, such as the work of the controllers.
const stepTimeout = time.Minute

// Cluster is a cluster with the kinds of KubeVirt, and Velero with a location.
type Cluster struct {
	cluster *stack.ControlPlane
	objects dynamic.Interface // without a limit of requests
	velero  *stack.Velero
}

const location = "machines"

// New makes the cluster of a test package one of KubeVirt. The Velero server of
// servers needs the kubevirt plugin.
func New(t *testing.T, servers *stack.Stack) Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	c := Cluster{cluster: servers.ControlPlane(t)}
	config := rest.CopyConfig(c.cluster.Config)
	config.QPS = -1
	var err error
	if c.objects, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if err := kubevirt.Install(ctx, c.objects); err != nil {
		t.Fatal(err)
	}
	c.velero = servers.Velero(t)
	store := servers.MinIO(t)
	if err := c.velero.AddLocation(ctx, store.S3Location(location, store.NewBucket(t))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.velero.RemoveLocation(ctx, location); err != nil {
			t.Error(err)
		}
	})
	// Velero looks for new kinds when it starts, and every five minutes.
	if err := c.velero.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// site is a namespace with machines.
type site struct {
	Cluster
	t           *testing.T
	ctx         context.Context
	namespace   string
	controllers *kubevirt.Controllers
}

var sites atomic.Int32

func (c Cluster) newSite(t *testing.T) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	namespace := c.cluster.NewNamespace(t)
	return &site{c, t, ctx, namespace, kubevirt.NewControllers(c.objects, namespace)}
}

// create makes the objects of a YAML stream, lets the controllers work on them
// and writes to the disks, which then hold what they have to hold after a
// restore.
func (s *site) create(text string) {
	s.t.Helper()
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &o.Object); err != nil {
			s.t.Fatalf("%v in\n%s", err, part)
		}
		if _, err := s.resource(o.GroupVersionKind()).Create(s.ctx, o, metav1.CreateOptions{}); err != nil {
			s.t.Fatalf("%v in\n%s", err, part)
		}
	}
	s.settle()
	s.controllers.Imports()
	for _, volume := range s.volumes() {
		s.patch(schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolume"}, volume.GetName(),
			fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, kubevirt.ContentKey, original), "")
	}
}

// original is the content of disks that the guest has written to.
const original = "original"

func (s *site) settle() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, stepTimeout)
	defer cancel()
	if err := s.controllers.Settle(ctx); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) resource(kind schema.GroupVersionKind) dynamic.ResourceInterface {
	resource, ok := kubevirt.Resource(kind.GroupKind())
	if !ok {
		resource = kind.GroupVersion().WithResource(strings.ToLower(kind.Kind) + "s")
	}
	if kind.Kind == "PersistentVolume" {
		return s.objects.Resource(resource)
	}
	return s.objects.Resource(resource).Namespace(s.namespace)
}

// kinds of the objects that a restore is judged by, in the order in which the
// originals are deleted and the report names them.
var kinds = []schema.GroupVersionKind{
	{Group: "pool.kubevirt.io", Version: "v1beta1", Kind: "VirtualMachinePool"},
	{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachine"},
	{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachineInstance"},
	{Group: "clone.kubevirt.io", Version: "v1beta1", Kind: "VirtualMachineClone"},
	{Group: "cdi.kubevirt.io", Version: "v1beta1", Kind: "DataVolume"},
	{Version: "v1", Kind: "Pod"},
	{Version: "v1", Kind: "PersistentVolumeClaim"},
	{Group: "k8s.cni.cncf.io", Version: "v1", Kind: "NetworkAttachmentDefinition"},
	{Group: "k8s.cni.cncf.io", Version: "v1alpha1", Kind: "IPAMClaim"},
	{Group: "apps", Version: "v1", Kind: "ControllerRevision"},
	{Version: "v1", Kind: "Secret"},
}

func (s *site) list(kind schema.GroupVersionKind) []unstructured.Unstructured {
	s.t.Helper()
	list, err := s.resource(kind).List(s.ctx, metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// volumes returns the volumes of the site's claims.
func (s *site) volumes() []unstructured.Unstructured {
	return slices.DeleteFunc(s.list(schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolume"}), func(volume unstructured.Unstructured) bool {
		return fields.TextAt(volume.Object, "spec", "claimRef", "namespace") != s.namespace
	})
}

// lose deletes all objects, and the disks with them.
func (s *site) lose() {
	s.t.Helper()
	none := int64(0)
	volumes := s.volumes()
	for _, kind := range kinds {
		if err := s.resource(kind).DeleteCollection(s.ctx, metav1.DeleteOptions{GracePeriodSeconds: &none}, metav1.ListOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, kind := range kinds {
		s.await(func() error {
			if left := s.list(kind); len(left) > 0 {
				return fmt.Errorf("%d of %s are left", len(left), kind.Kind)
			}
			return nil
		})
	}
	persistentVolumes := s.resource(schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolume"})
	for _, volume := range volumes {
		if err := persistentVolumes.Delete(s.ctx, volume.GetName(), metav1.DeleteOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.await(func() error {
		if left := s.volumes(); len(left) > 0 {
			return fmt.Errorf("%d volumes are left", len(left))
		}
		return nil
	})
}

func (s *site) await(check func() error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, stepTimeout)
	defer cancel()
	if err := stack.Await(ctx, check); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) patch(kind schema.GroupVersionKind, name, patch, subresource string) {
	s.t.Helper()
	var subresources []string
	if subresource != "" {
		subresources = append(subresources, subresource)
	}
	if _, err := s.resource(kind).Patch(s.ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...); err != nil {
		s.t.Fatal(err)
	}
}

// pause pauses an instance, and its machine if it has one.
func (s *site) pause(name string, hasMachine bool) {
	s.t.Helper()
	s.patch(kinds[2], name, `{"status":{"conditions":[{"type":"Paused","status":"True"}]}}`, "status")
	if hasMachine {
		s.patch(kinds[1], name, `{"status":{"printableStatus":"Paused"}}`, "status")
	}
}

// backUp backs the namespace up and returns the backup's name and phase. spec is
// YAML of a Backup's spec or, with metadata, of a Backup.
func (s *site) backUp(spec string) (name, phase string) {
	s.t.Helper()
	return s.run("Backup", map[string]any{"includedNamespaces": []any{s.namespace}, "storageLocation": location}, spec)
}

// restore restores a backup while the controllers work, and lets them come to an
// end.
func (s *site) restore(backup, spec string) (phase string) {
	s.t.Helper()
	err := s.controllers.During(s.ctx, func() {
		_, phase = s.run("Restore", map[string]any{"backupName": backup}, spec)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	return phase
}

// run creates a Backup or a Restore, waits for its end and shows its warnings and
// errors if the test fails.
func (s *site) run(kind string, base map[string]any, text string) (name, phase string) {
	s.t.Helper()
	var given struct {
		Metadata struct{ Labels map[string]any }
		Spec     map[string]any
	}
	if !strings.Contains(text, "spec:") {
		text = "spec: {" + text + "}"
	}
	if err := yaml.Unmarshal([]byte(text), &given); err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
	for field, value := range given.Spec {
		base[field] = value
	}
	name = fmt.Sprintf("%s-%d", strings.ToLower(kind), sites.Add(1))
	finished, err := s.finish(kind, name, given.Metadata.Labels, base)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			logs, err := s.velero.CLI(context.Background(), strings.ToLower(kind), "logs", name, "--insecure-skip-tls-verify")
			s.t.Logf("%s %s is %s: %v", kind, name, stack.Phase(finished), err)
			for line := range strings.Lines(logs) {
				if strings.Contains(line, "level=error") || strings.Contains(line, "level=warning") || strings.Contains(line, "kubevirt-velero-plugin") && strings.Contains(line, "msg=\"the ") {
					s.t.Log(strings.TrimSpace(line))
				}
			}
		}
	})
	return name, stack.Phase(finished)
}

func (s *site) finish(kind, name string, labels, spec map[string]any) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "velero.io/v1", "kind": kind, "metadata": map[string]any{"name": name, "labels": labels}, "spec": spec,
	}}
	client := s.velero.Resource(strings.ToLower(kind) + "s")
	if _, err := client.Create(s.ctx, o, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	var last *unstructured.Unstructured
	err := stack.Await(s.ctx, func() error {
		found, err := client.Get(s.ctx, name, getOptions)
		if err != nil {
			return err
		}
		last = found
		if phase := stack.Phase(found); !slices.Contains([]string{"Completed", "PartiallyFailed", "Failed", "FailedValidation"}, phase) {
			return fmt.Errorf("%s %s is in phase %q", kind, name, phase)
		}
		return nil
	})
	return last, err
}

// archived returns the items of a backup as RESOURCE/NAME, without those that
// Velero always adds.
func (s *site) archived(backup string) []string {
	s.t.Helper()
	text, err := s.velero.CLI(s.ctx, "backup", "describe", backup, "--details", "--insecure-skip-tls-verify")
	if err != nil {
		s.t.Fatal(err)
	}
	_, list, found := strings.Cut(text, "Resource List:")
	if !found {
		s.t.Fatal(errors.New("the description has no list of resources:\n" + text))
	}
	list, _, _ = strings.Cut(list, "\n\n")
	var items []string
	kind := ""
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasSuffix(line, ":"):
			kind = line[strings.LastIndex(strings.TrimSuffix(line, ":"), "/")+1 : len(line)-1]
		case strings.HasPrefix(line, "- ") && kind != "CustomResourceDefinition" && kind != "Namespace":
			items = append(items, kind+" "+line[strings.LastIndexAny(line, " /")+1:])
		}
	}
	slices.Sort(items)
	return items
}

// report says what is in the namespace, one object after the other, for example
//
//	VirtualMachine web Stopped, DataVolume root Succeeded, PersistentVolumeClaim root original
func (s *site) report() string {
	s.t.Helper()
	var lines []string
	for _, kind := range kinds {
		if kind.Kind == "Pod" || kind.Kind == "ControllerRevision" || kind.Kind == "IPAMClaim" {
			continue // which the controllers make
		}
		for _, o := range s.list(kind) {
			line := kind.Kind + " " + o.GetName()
			if state := s.state(&o); state != "" {
				line += " " + state
			}
			lines = append(lines, line)
		}
	}
	for _, name := range s.controllers.Imports() {
		lines = append(lines, "imported "+name)
	}
	return strings.Join(lines, ", ")
}

func (s *site) state(o *unstructured.Unstructured) string {
	switch o.GetKind() {
	case "VirtualMachine":
		return fields.TextAt(o.Object, "status", "printableStatus")
	case "VirtualMachineInstance", "DataVolume":
		return fields.TextAt(o.Object, "status", "phase")
	case "PersistentVolumeClaim":
		for _, volume := range s.volumes() {
			if volume.GetName() == fields.TextAt(o.Object, "spec", "volumeName") {
				return fields.Annotation(&volume, kubevirt.ContentKey)
			}
		}
		return "unbound"
	case "VirtualMachinePool":
		return map[bool]string{true: "paused", false: "active"}[fields.BoolAt(o.Object, "spec", "paused")]
	}
	return ""
}

// get returns an object.
func (s *site) get(kind schema.GroupVersionKind, name string) *unstructured.Unstructured {
	s.t.Helper()
	found, err := s.resource(kind).Get(s.ctx, name, getOptions)
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// getOptions are those of every read.
var getOptions = metav1.GetOptions{}

// yaml returns an object as text.
func (s *site) yaml(o *unstructured.Unstructured) string {
	s.t.Helper()
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
