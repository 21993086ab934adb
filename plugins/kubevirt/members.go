package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// disksOf returns those objects that are data volumes or claims.
func disksOf(all identifiers) identifiers {
	return slices.DeleteFunc(slices.Clone(all), func(id sdk.ResourceIdentifier) bool {
		return !is(id, dataVolumes) && !is(id, claims)
	})
}

// blockMembers returns those objects that belong to one machine alone.
func blockMembers(all identifiers) identifiers {
	return slices.DeleteFunc(slices.Clone(all), func(id sdk.ResourceIdentifier) bool {
		return !is(id, dataVolumes) && !is(id, claims) && !is(id, pods)
	})
}

// launcherOf returns the pod in which an instance runs. While the instance
// migrates there are two, of which the one at the source has the guest.
func launcherOf(name string, i instance, all map[string]pod) (pod, bool) {
	var best pod
	rank := 0
	for _, podName := range slices.Sorted(maps.Keys(all)) {
		p := all[podName]
		if !p.launcher || p.ended {
			continue
		}
		same := p.instanceUID == i.uid
		if p.instanceUID == "" {
			same = p.domain == name
		}
		if !same {
			continue
		}
		r := 1
		if node, active := i.activePods[p.uid]; active {
			r = 2
			if node == i.node {
				r = 3
			}
		}
		if r > rank {
			best, rank = p, r
		}
	}
	return best, rank > 0
}

// stateClaims returns the claims with the state of a machine's TPM, EFI variables
// and changed blocks. There is one, but for a migration, which makes a second
// one: then it is that of the source, or that which the launcher mounts.
func stateClaims(name string, i instance, launcher pod, all map[string]claim) (current, others []string) {
	for claimName, c := range all {
		if c.stateOf == name {
			current = append(current, claimName)
		}
	}
	slices.Sort(current)
	if len(current) < 2 {
		return current, nil
	}
	chosen := ""
	if slices.Contains(current, i.sourceState) {
		chosen = i.sourceState
	} else {
		for _, c := range launcher.claims {
			if slices.Contains(current, c) {
				chosen = c
			}
		}
	}
	if chosen == "" {
		return current, nil
	}
	return []string{chosen}, slices.DeleteFunc(current, func(c string) bool { return c == chosen })
}

// asksForState reports whether the specification of an instance asks for a TPM or
// for EFI variables that last. Preferences can do so as well.
func asksForState(spec fields.Map) bool {
	return fields.BoolAt(spec, "domain", "devices", "tpm", "persistent") ||
		fields.BoolAt(spec, "domain", "firmware", "bootloader", "efi", "persistent")
}

// oldStateClaim is the name of a state claim that KubeVirt before 1.4 made, which
// has no label.
func oldStateClaim(name string) string { return "persistent-state-for-" + name }

// insertState adds state claims behind the disks.
func (l *identifiers) insertState(namespace string, names []string) {
	at := 0
	for i, id := range *l {
		if is(id, dataVolumes) || is(id, claims) {
			at = i + 1
		}
	}
	rest := slices.Clone((*l)[at:])
	*l = (*l)[:at]
	for _, name := range names {
		l.add(claims, namespace, name)
	}
	for _, id := range rest {
		if !slices.Contains(*l, id) {
			*l = append(*l, id)
		}
	}
}

// living is what the cluster knows of a machine while it runs. All of it is
// empty for one that is stopped.
type living struct {
	exists      bool // there is an instance
	instance    instance
	hasLauncher bool
	launcher    pod
}

// livingOf looks a machine's instance and its launcher up.
func (a *actions) livingOf(ctx context.Context, b sdk.Backup, namespace, name string) (living, error) {
	all, err := a.instancesIn(ctx, b, namespace)
	if err != nil {
		return living{}, err
	}
	i, exists := all[name]
	if !exists {
		return living{}, nil
	}
	l := living{exists: true, instance: i}
	podsOfAll, err := a.podsIn(ctx, b, namespace)
	if err != nil {
		return l, err
	}
	l.launcher, l.hasLauncher = launcherOf(name, i, podsOfAll)
	return l, nil
}

// withLiving adds to what a specification refers to: the claims with the
// machine's state, disks that were attached while it ran, and the claims that
// data volumes really fill.
func (a *actions) withLiving(ctx context.Context, b sdk.Backup, namespace, name string, spec fields.Map, all identifiers, l living) (identifiers, error) {
	present, err := a.claimsIn(ctx, b, namespace)
	if err != nil {
		return all, err
	}
	states, _ := stateClaims(name, l.instance, l.launcher, present)
	if _, old := present[oldStateClaim(name)]; len(states) == 0 && old && asksForState(spec) {
		states = []string{oldStateClaim(name)}
	}
	all.insertState(namespace, states)
	for _, id := range l.instance.disks {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return a.withRealClaims(ctx, b, all)
}

// withRealClaims puts the claim that a data volume fills in place of one with the
// name of the data volume.
func (a *actions) withRealClaims(ctx context.Context, b sdk.Backup, all identifiers) (identifiers, error) {
	var real identifiers
	claimsOfVolumes := map[sdk.ResourceIdentifier]string{}
	for _, id := range all {
		if is(id, dataVolumes) {
			volume, ok, err := a.findDataVolume(ctx, b, id.Namespace, id.Name)
			if err != nil {
				return all, err
			}
			if ok {
				claimsOfVolumes[identify(claims, id.Namespace, id.Name)] = volume.claim
			}
		}
		if other := claimsOfVolumes[id]; other != "" {
			id.Name = other
		}
		real.add(schema.GroupVersionResource{Group: id.Group, Resource: id.Resource}, id.Namespace, id.Name)
	}
	return real, nil
}

// obtainable leaves out of what an item refers to what Velero could not back up
// and would report as an error of the item, or would leave out without a word.
func (a *actions) obtainable(ctx context.Context, b sdk.Backup, f *filter, item string, all identifiers) (identifiers, error) {
	var kept identifiers
	for _, id := range all {
		why, err := a.whyNot(ctx, b, f, id)
		if err != nil {
			return kept, err
		}
		if why.text == "" {
			kept = append(kept, id)
			continue
		}
		slog.Log(ctx, why.level, why.text, "item", item, "object", form(id))
	}
	return kept, nil
}

// reason says why an object is left out.
type reason struct {
	level slog.Level
	text  string
}

func (a *actions) whyNot(ctx context.Context, b sdk.Backup, f *filter, id sdk.ResourceIdentifier) (reason, error) {
	resource, served := f.served.Preferred(schema.GroupResource{Group: id.Group, Resource: id.Resource})
	switch {
	case !served:
		return reason{slog.LevelDebug, "an object is left out of the backup, since the cluster does not have its API"}, nil
	case !f.namespaces.includes(id.Namespace):
		return reason{slog.LevelWarn, "an object that the item refers to is in a namespace that the backup does not include; add the namespace or create the object before a restore"}, nil
	case is(id, dataVolumes):
		_, ok, err := a.findDataVolume(ctx, b, id.Namespace, id.Name)
		if !ok {
			// CDI deletes those that have done their work.
			return reason{slog.LevelDebug, "a data volume that the item refers to does not exist"}, err
		}
	case is(id, claims):
		c, ok, err := a.findClaim(ctx, b, id.Namespace, id.Name)
		switch {
		case err != nil || !ok:
			return reason{slog.LevelWarn, "a claim that the item refers to does not exist"}, err
		case c.waiting:
			return reason{slog.LevelWarn, "a claim that the item refers to has no volume yet, since no pod has used it; its disk is empty and not in the backup"}, nil
		}
	case is(id, pods), is(id, virtualMachineInstances), is(id, virtualMachines):
	default:
		ok, err := a.hasObject(ctx, b, resource, id.Namespace, id.Name)
		if !ok {
			return reason{slog.LevelInfo, "an object that the item refers to does not exist"}, err
		}
	}
	return reason{}, nil
}
