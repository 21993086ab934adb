package main

import (
	"context"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The actions read the objects of a namespace in lists, which are kept for
// listLifetime, and keep of each object only what they use. So a backup takes a
// few requests for each namespace and minute, and little memory, however many
// virtual machines there are.

const (
	listLifetime = time.Minute
	// wholeTask is longer than any backup takes.
	wholeTask = 24 * time.Hour
	// pageSize is how many objects one answer of the API server has. A virtual
	// machine takes about 50 KiB of memory once it is decoded.
	pageSize = 100
)

// actions has what the actions of backups share. Its methods are called
// concurrently.
type actions struct {
	cluster *kube.Cluster

	filters   kube.Memo[*filter]
	machines  kube.Memo[map[string]machine]
	instances kube.Memo[map[string]instance]
	pods      kube.Memo[map[string]pod]
	claims    kube.Memo[map[string]claim]
	disks     kube.Memo[map[string]dataVolume]
	addresses kube.Memo[map[string]addresses]
	names     kube.Memo[map[string]bool]
	said      kube.Memo[bool]
}

func newActions(cluster *kube.Cluster) *actions {
	return &actions{
		cluster:   cluster,
		filters:   kube.Memo[*filter]{Lifetime: wholeTask},
		machines:  kube.Memo[map[string]machine]{Lifetime: listLifetime},
		instances: kube.Memo[map[string]instance]{Lifetime: listLifetime},
		pods:      kube.Memo[map[string]pod]{Lifetime: listLifetime},
		claims:    kube.Memo[map[string]claim]{Lifetime: listLifetime},
		disks:     kube.Memo[map[string]dataVolume]{Lifetime: listLifetime},
		addresses: kube.Memo[map[string]addresses]{Lifetime: listLifetime},
		names:     kube.Memo[map[string]bool]{Lifetime: listLifetime},
		said:      kube.Memo[bool]{Lifetime: wholeTask},
	}
}

// list returns the objects of a resource in a namespace by their names, as read
// makes them of the objects.
func list[T any](ctx context.Context, a *actions, memo *kube.Memo[map[string]T], b sdk.Backup, resource schema.GroupVersionResource,
	namespace, labels string, read func(*unstructured.Unstructured) T,
) (map[string]T, error) {
	return memo.Get(ctx, key(b, namespace), func(ctx context.Context) (map[string]T, error) {
		all := map[string]T{}
		err := a.cluster.Each(ctx, resource, namespace, kube.Selection{Labels: labels, Page: pageSize}, func(o *unstructured.Unstructured) {
			all[o.GetName()] = read(o)
		})
		return all, err
	})
}

// find returns one object of a list. What the list does not have is asked for by
// itself, since it may be younger than the list.
func find[T any](ctx context.Context, a *actions, all map[string]T, resource schema.GroupVersionResource, namespace, name string,
	read func(*unstructured.Unstructured) T,
) (found T, ok bool, err error) {
	if found, ok = all[name]; ok {
		return found, true, nil
	}
	o, err := a.cluster.Get(ctx, resource, namespace, name)
	if err != nil || o == nil {
		return found, false, err
	}
	return read(o), true, nil
}

// machine is a VirtualMachine.
type machine struct {
	uid, pool string
	excluded  bool
	disks     identifiers // its data volumes and claims
}

func readMachine(o *unstructured.Unstructured) machine {
	m := machine{uid: string(o.GetUID()), excluded: isExcluded(o), disks: disksOf(referredTo("VirtualMachine", o.Object))}
	if owner := ownerOf(o, poolGroup, "VirtualMachinePool"); owner != "" {
		m.pool = owner
	}
	return m
}

func (a *actions) machinesIn(ctx context.Context, b sdk.Backup, namespace string) (map[string]machine, error) {
	return list(ctx, a, &a.machines, b, virtualMachines, namespace, "", readMachine)
}

// instance is a VirtualMachineInstance.
type instance struct {
	uid, phase, node, firmwareUUID                   string
	excluded, paused, hasAgent, migrating, isRunning bool
	activePods                                       map[string]string // nodes by the UIDs of pods
	sourceState                                      string            // claim of the machine's state at the source of a migration
	disks                                            identifiers       // its data volumes, claims and the pods that attach them
}

func readInstance(o *unstructured.Unstructured) instance {
	status := fields.MapAt(o.Object, "status")
	i := instance{
		uid: string(o.GetUID()), excluded: isExcluded(o),
		phase: fields.TextAt(status, "phase"), node: fields.TextAt(status, "nodeName"),
		firmwareUUID: fields.TextAt(o.Object, "spec", "domain", "firmware", "uuid"),
		paused:       hasCondition(status, "Paused"), hasAgent: hasCondition(status, "AgentConnected"),
		activePods: map[string]string{},
		disks:      blockMembers(referredTo("VirtualMachineInstance", o.Object)),
	}
	i.isRunning = i.phase == "Running" || i.phase == "Scheduled"
	for uid, node := range fields.MapAt(status, "activePods") {
		if node, ok := node.(string); ok {
			i.activePods[uid] = node
		}
	}
	if migration := fields.MapAt(status, "migrationState"); migration != nil && !fields.BoolAt(migration, "completed") {
		i.migrating = true
		i.sourceState = fields.TextAt(migration, "sourcePersistentStatePVCName")
		if i.sourceState == "" {
			i.sourceState = fields.TextAt(migration, "sourceState", "persistentStatePVCName")
		}
	}
	return i
}

func (a *actions) instancesIn(ctx context.Context, b sdk.Backup, namespace string) (map[string]instance, error) {
	return list(ctx, a, &a.instances, b, virtualMachineInstances, namespace, "", readInstance)
}

// pod is a pod in which a virtual machine runs, or one that attaches a disk to
// it.
type pod struct {
	name, uid, node, instanceUID, domain, launcherUID string
	excluded, launcher, ended, ready, freezes         bool
	claims                                            []string
}

func readPod(o *unstructured.Unstructured) pod {
	phase := fields.TextAt(o.Object, "status", "phase")
	p := pod{
		name: o.GetName(), uid: string(o.GetUID()), node: fields.TextAt(o.Object, "spec", "nodeName"),
		instanceUID: fields.Label(o, createdByLabel), domain: fields.Annotation(o, domainKey),
		excluded: isExcluded(o), launcher: fields.Label(o, applicationLabel) == launcherApplication,
		ended:   o.GetDeletionTimestamp() != nil || phase == "Succeeded" || phase == "Failed",
		ready:   hasCondition(fields.MapAt(o.Object, "status"), "Ready"),
		freezes: fields.HasAnnotation(o, freezeCommandKey),
	}
	for reference := range fields.Each(fields.ListAt(o.Object, "metadata", "ownerReferences")) {
		if fields.TextAt(reference, "kind") == "Pod" {
			p.launcherUID = fields.TextAt(reference, "uid")
		}
	}
	for volume := range fields.Each(fields.ListAt(o.Object, "spec", "volumes")) {
		if claim := fields.TextAt(volume, "persistentVolumeClaim", "claimName"); claim != "" {
			p.claims = append(p.claims, claim)
		}
	}
	return p
}

func (a *actions) podsIn(ctx context.Context, b sdk.Backup, namespace string) (map[string]pod, error) {
	return list(ctx, a, &a.pods, b, pods, namespace, applicationLabel+" in ("+launcherApplication+","+hotplugApplication+")", readPod)
}

// claim is a PersistentVolumeClaim.
type claim struct {
	uid, stateOf, volumeGroup string
	excluded, waiting         bool // waiting for a first pod, without a volume
}

func readClaim(volumeGroupLabel string) func(*unstructured.Unstructured) claim {
	return func(o *unstructured.Unstructured) claim {
		return claim{
			uid: string(o.GetUID()), stateOf: fields.Label(o, stateForLabel), volumeGroup: fields.Label(o, volumeGroupLabel),
			excluded: isExcluded(o), waiting: isWaiting(o),
		}
	}
}

func isWaiting(claim *unstructured.Unstructured) bool {
	return fields.TextAt(claim.Object, "status", "phase") == "Pending" && fields.TextAt(claim.Object, "spec", "volumeName") == ""
}

func (a *actions) claimsIn(ctx context.Context, b sdk.Backup, namespace string) (map[string]claim, error) {
	spec, err := backupOf(b)
	if err != nil {
		return nil, err
	}
	return list(ctx, a, &a.claims, b, claims, namespace, "", readClaim(spec.volumeGroupLabel()))
}

func (a *actions) findClaim(ctx context.Context, b sdk.Backup, namespace, name string) (claim, bool, error) {
	all, err := a.claimsIn(ctx, b, namespace)
	if err != nil {
		return claim{}, false, err
	}
	return find(ctx, a, all, claims, namespace, name, readClaim(defaultVolumeGroupLabel))
}

// dataVolume is a DataVolume.
type dataVolume struct {
	claim               string // the claim that it fills
	excluded, succeeded bool
}

func readDataVolume(o *unstructured.Unstructured) dataVolume {
	return dataVolume{claim: claimOf(o), excluded: isExcluded(o), succeeded: hasSucceeded(o)}
}

func hasSucceeded(volume *unstructured.Unstructured) bool {
	return fields.TextAt(volume.Object, "status", "phase") == "Succeeded"
}

// claimOf returns the name of the claim of a data volume, which is its own in
// most cases.
func claimOf(volume *unstructured.Unstructured) string {
	for _, name := range []string{fields.Annotation(volume, prePopulatedKey), fields.TextAt(volume.Object, "status", "claimName")} {
		if name != "" {
			return name
		}
	}
	return volume.GetName()
}

func (a *actions) findDataVolume(ctx context.Context, b sdk.Backup, namespace, name string) (dataVolume, bool, error) {
	all, err := list(ctx, a, &a.disks, b, dataVolumes, namespace, "", readDataVolume)
	if err != nil {
		return dataVolume{}, false, err
	}
	return find(ctx, a, all, dataVolumes, namespace, name, readDataVolume)
}

// hasObject reports whether there is an object of that name.
func (a *actions) hasObject(ctx context.Context, b sdk.Backup, resource schema.GroupVersionResource, namespace, name string) (bool, error) {
	all, err := a.names.Get(ctx, key(b, namespace, resource.GroupResource().String()), func(ctx context.Context) (map[string]bool, error) {
		return a.cluster.Names(ctx, resource, namespace)
	})
	return all[name], err
}

// addresses are those of the networks of a virtual machine, by the names that
// the networks have in the machine.
type addresses map[string][]string

// addressesIn returns the addresses that the claims of OVN-Kubernetes keep for
// virtual machines, by the names of the machines.
func (a *actions) addressesIn(ctx context.Context, b sdk.Backup, namespace string) (map[string]addresses, error) {
	return a.addresses.Get(ctx, key(b, namespace), func(ctx context.Context) (map[string]addresses, error) {
		all := map[string]addresses{}
		selection := kube.Selection{Labels: addressClaimMachineLabel, Page: pageSize}
		err := a.cluster.Each(ctx, addressClaims, namespace, selection, func(o *unstructured.Unstructured) {
			machine := fields.Label(o, addressClaimMachineLabel)
			network, ok := strings.CutPrefix(o.GetName(), machine+".")
			if !ok {
				return
			}
			for _, ip := range fields.ListAt(o.Object, "status", "ips") {
				if ip, ok := ip.(string); ok {
					if all[machine] == nil {
						all[machine] = addresses{}
					}
					all[machine][network] = append(all[machine][network], ip)
				}
			}
		})
		return all, err
	})
}

// isExcluded reports whether Velero leaves the object out of backups.
func isExcluded(o *unstructured.Unstructured) bool { return fields.Label(o, excludeLabel) == "true" }

// hasCondition reports whether a condition of a status is true.
func hasCondition(status fields.Map, condition string) bool {
	for c := range fields.Each(fields.ListAt(status, "conditions")) {
		if fields.TextAt(c, "type") == condition {
			return fields.TextAt(c, "status") == "True"
		}
	}
	return false
}

// ownerOf returns the name of the owner of that kind, or "". The version of its
// group does not matter.
func ownerOf(o *unstructured.Unstructured, group, kind string) string {
	for reference := range fields.Each(fields.ListAt(o.Object, "metadata", "ownerReferences")) {
		version, err := schema.ParseGroupVersion(fields.TextAt(reference, "apiVersion"))
		if err == nil && version.Group == group && fields.TextAt(reference, "kind") == kind {
			return fields.TextAt(reference, "name")
		}
	}
	return ""
}
