package kube

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Resources are the resources that a cluster serves, in the order of preference
// of its groups. They resolve names as the Velero server does for the filters of
// backups.
type Resources []Resource

// Resource is one resource in the preferred version of its group.
type Resource struct {
	schema.GroupResource
	Version    string
	Singular   string
	ShortNames []string
	Namespaced bool
}

// backedUpVerbs are those that a resource must have for Velero to back it up.
var backedUpVerbs = []string{"list", "create", "get", "delete"}

// Find returns the resource that a name stands for: a plural, singular or short
// name, alone or with a group, for example "pods", "vm", "datavolume.cdi.kubevirt.io".
// A group may be cut short at its end, such as "storageclass.storage".
func (r Resources) Find(name string) (Resource, bool) {
	want := schema.ParseGroupResource(strings.ToLower(name))
	inGroup := func(s Resource) bool { return want.Group == "" || s.Group == want.Group }
	inGroupPrefix := func(s Resource) bool { return want.Group != "" && strings.HasPrefix(s.Group, want.Group) }
	fullName := func(s Resource) bool { return s.Resource == want.Resource || s.Singular == want.Resource }
	shortName := func(s Resource) bool { return slices.Contains(s.ShortNames, want.Resource) }
	for _, matches := range []func(Resource) bool{
		func(s Resource) bool { return inGroup(s) && fullName(s) },
		func(s Resource) bool { return inGroup(s) && shortName(s) },
		func(s Resource) bool { return inGroupPrefix(s) && fullName(s) },
		func(s Resource) bool { return inGroupPrefix(s) && shortName(s) },
	} {
		if i := slices.IndexFunc(r, matches); i >= 0 {
			return r[i], true
		}
	}
	return Resource{}, false
}

// Preferred returns a resource in the preferred version, if the cluster serves
// it.
func (r Resources) Preferred(resource schema.GroupResource) (schema.GroupVersionResource, bool) {
	i := slices.IndexFunc(r, func(s Resource) bool { return s.GroupResource == resource })
	if i < 0 {
		return schema.GroupVersionResource{}, false
	}
	return resource.WithVersion(r[i].Version), true
}

// Resources asks the cluster for all resources that Velero can back up, in two
// requests. A cluster older than Kubernetes 1.26 takes one request for each group.
func (c *Cluster) Resources(ctx context.Context) (Resources, error) {
	var found Resources
	for _, path := range []string{"/api", "/apis"} {
		part, err := c.resourcesBelow(ctx, path)
		if err != nil {
			return nil, err
		}
		found = append(found, part...)
	}
	return found, nil
}

// discoveryTypes are the forms of an answer that has all groups in it.
const discoveryTypes = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"

// discovery has the fields of both forms of an answer: an APIGroupDiscoveryList,
// or an APIGroupList or APIVersions.
type discovery struct {
	Kind  string
	Items []struct {
		Metadata struct{ Name string }
		Versions []struct {
			Version   string
			Resources []struct {
				Resource, Scope, SingularResource string
				ShortNames, Verbs                 []string
			}
		}
	}
	Versions []string // of the core group
	Groups   []metav1.APIGroup
}

func (c *Cluster) resourcesBelow(ctx context.Context, path string) (Resources, error) {
	connection, err := c.connect()
	if err != nil {
		return nil, err
	}
	body, err := connection.plain.Get().AbsPath(path).SetHeader("Accept", discoveryTypes).DoRaw(ctx)
	var answer discovery
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		return nil, coded("reading "+path, err)
	}
	if answer.Kind != "APIGroupDiscoveryList" {
		return c.resourcesOfEach(ctx, answer)
	}
	var found Resources
	for _, group := range answer.Items {
		seen := map[string]bool{} // in a version that is preferred to the next ones
		for _, version := range group.Versions {
			for _, r := range version.Resources {
				if seen[r.Resource] || !hasVerbs(r.Verbs) {
					continue
				}
				seen[r.Resource] = true
				found = append(found, Resource{
					schema.GroupResource{Group: group.Metadata.Name, Resource: r.Resource},
					version.Version, r.SingularResource, r.ShortNames, r.Scope == "Namespaced",
				})
			}
		}
	}
	return found, nil
}

// resourcesOfEach asks for the groups one by one. A group whose server does not
// answer is left out, as Velero does.
func (c *Cluster) resourcesOfEach(ctx context.Context, answer discovery) (Resources, error) {
	paths := make([]string, 0, len(answer.Groups)+1)
	for _, version := range answer.Versions {
		paths = append(paths, "/api/"+version)
	}
	for _, group := range answer.Groups {
		paths = append(paths, "/apis/"+group.PreferredVersion.GroupVersion)
	}
	var found Resources
	for _, path := range paths {
		var list metav1.APIResourceList
		if err := c.read(ctx, path, &list); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			continue
		}
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			if hasVerbs(r.Verbs) && !strings.Contains(r.Name, "/") {
				found = append(found, Resource{
					schema.GroupResource{Group: version.Group, Resource: r.Name},
					version.Version, r.SingularName, r.ShortNames, r.Namespaced,
				})
			}
		}
	}
	return found, nil
}

func hasVerbs(verbs []string) bool {
	for _, verb := range backedUpVerbs {
		if !slices.Contains(verbs, verb) {
			return false
		}
	}
	return true
}
