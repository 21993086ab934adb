package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/gobwas/glob"
	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// filter tells which resources and namespaces a backup holds, as Velero decides
// it. Labels are not part of it: they choose what Velero looks at by itself, and
// not what the actions add.
type filter struct {
	served                kube.Resources
	namespaces, resources choice
}

// includes reports whether objects of a resource, which is one in namespaces, are
// in the backup.
func (f *filter) includes(resource schema.GroupResource) bool {
	_, served := f.served.Preferred(resource)
	return served && f.resources.includes(resource.String())
}

// filterOf returns the filter of a backup. It takes two requests for a whole
// backup, and one more if there is a policy for its resources.
func (a *actions) filterOf(ctx context.Context, b sdk.Backup) (*filter, error) {
	return a.filters.Get(ctx, key(b), func(ctx context.Context) (*filter, error) {
		spec, err := backupOf(b)
		if err != nil {
			return nil, err
		}
		served, err := a.cluster.Resources(ctx)
		if err != nil {
			return nil, err
		}
		f := &filter{served: served, namespaces: choose(spec.Spec.IncludedNamespaces, spec.Spec.ExcludedNamespaces)}
		if spec.Spec.IncludeClusterResources != nil || len(spec.Spec.IncludedResources)+len(spec.Spec.ExcludedResources) > 0 {
			f.resources = choose(resolve(served, spec.Spec.IncludedResources), without("*", resolve(served, spec.Spec.ExcludedResources)))
			return f, nil
		}
		included := resolve(served, spec.Spec.IncludedNamespaceScopedResources)
		excluded := resolve(served, spec.Spec.ExcludedNamespaceScopedResources)
		policy, err := a.policyOf(ctx, b, spec)
		if err != nil {
			return nil, err
		}
		f.resources = policy.combine(served, included, excluded)
		return f, nil
	})
}

// resolve replaces each name by that of the resource that it stands for, for
// example vm by virtualmachines.kubevirt.io. A name that stands for none is kept.
func resolve(served kube.Resources, names []string) []string {
	resolved := make([]string, 0, len(names))
	for _, name := range names {
		if found, ok := served.Find(name); ok && name != "*" {
			name = found.String()
		}
		resolved = append(resolved, name)
	}
	return resolved
}

func without(name string, names []string) []string {
	var kept []string
	for _, n := range names {
		if n != name {
			kept = append(kept, n)
		}
	}
	return kept
}

// resourcePolicy is the part of a ConfigMap with resource policies that says
// which resources are in the backup.
type resourcePolicy struct {
	IncludeExcludePolicy struct {
		IncludedNamespaceScopedResources, ExcludedNamespaceScopedResources []string
	}
}

func (a *actions) policyOf(ctx context.Context, b sdk.Backup, spec *backupSpec) (*resourcePolicy, error) {
	policy := &resourcePolicy{}
	reference := spec.Spec.ResourcePolicy
	if reference == nil || !strings.EqualFold(reference.Kind, "configmap") {
		return policy, nil
	}
	configMap, err := a.cluster.Get(ctx, configMaps, b.Namespace(), reference.Name)
	if err != nil {
		return nil, err
	}
	if configMap == nil {
		return nil, policyUnreadable(b, reference.Name, fmt.Errorf("it does not exist"))
	}
	for _, text := range fields.MapAt(configMap.Object, "data") {
		if text, ok := text.(string); ok {
			if err := yaml.Unmarshal([]byte(text), policy); err != nil {
				return nil, policyUnreadable(b, reference.Name, err)
			}
		}
	}
	return policy, nil
}

// combine adds what the policy includes and excludes to what the Backup itself
// does, which wins.
func (p *resourcePolicy) combine(served kube.Resources, included, excluded []string) choice {
	c := choose(included, excluded)
	decided := func(name string) bool { return c.included.match(name) || c.excluded.match(name) }
	for _, name := range resolve(served, p.IncludeExcludePolicy.ExcludedNamespaceScopedResources) {
		if !decided(name) {
			c.excluded = append(c.excluded, patternsOf([]string{name})...)
		}
	}
	for _, name := range resolve(served, p.IncludeExcludePolicy.IncludedNamespaceScopedResources) {
		if !decided(name) {
			c.included = append(c.included, patternsOf([]string{name})...)
		}
	}
	return c
}

// choice is a pair of lists of names, in which * stands for any characters. An
// empty list of included names includes everything.
type choice struct{ included, excluded patterns }

func choose(included, excluded []string) choice {
	return choice{patternsOf(included), patternsOf(excluded)}
}

func (c choice) includes(name string) bool {
	return !c.excluded.match(name) && (len(c.included) == 0 || c.included.match(name))
}

type patterns []glob.Glob

// patternsOf leaves out what is no pattern, which Velero refuses or matches with
// nothing.
func patternsOf(names []string) patterns {
	all := patterns{}
	for _, name := range names {
		if compiled, err := glob.Compile(name); err == nil {
			all = append(all, compiled)
		}
	}
	return all
}

func (p patterns) match(name string) bool {
	for _, pattern := range p {
		if pattern.Match(name) {
			return true
		}
	}
	return false
}
