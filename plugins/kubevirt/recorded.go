package main

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A backed-up virtual machine carries an annotation with what it needs and the
// backup has, so that a restore need not guess, for example
//
//	["datavolumes.cdi.kubevirt.io/shop/root","persistentvolumeclaims/shop/root","secrets/shop/login"]

// form returns an object as RESOURCE.GROUP/NAMESPACE/NAME.
func form(id sdk.ResourceIdentifier) string {
	resource := id.Resource
	if id.Group != "" {
		resource += "." + id.Group
	}
	return resource + "/" + id.Namespace + "/" + id.Name
}

// setGraph writes objects into the annotation.
func setGraph(item *unstructured.Unstructured, all identifiers) {
	forms := make([]string, 0, len(all))
	for _, id := range all {
		forms = append(forms, form(id))
	}
	if text, err := json.Marshal(forms); err == nil {
		fields.Annotate(item, objectGraphKey, string(text))
	}
}

// graphOf returns what the annotation says, as far as allowed. Whoever can write
// to the bucket can write the annotation, and in an archive of the replaced
// plugin it is a user's: it may name only objects that such an item needs, in its
// own namespace, and networks.
func graphOf(item *unstructured.Unstructured, allowed ...schema.GroupVersionResource) (all identifiers, ok bool) {
	if !fields.HasAnnotation(item, objectGraphKey) {
		return nil, false
	}
	var forms []string
	if err := json.Unmarshal([]byte(fields.Annotation(item, objectGraphKey)), &forms); err != nil {
		slog.Warn("the annotation with the objects that an item needs cannot be read, and they are taken from its specification",
			"item", fields.Describe(item), "annotation", objectGraphKey, "error", err)
		return nil, false
	}
	for _, text := range forms {
		id, ok := parseForm(text)
		if !ok || !isOneOf(id, allowed) || id.Namespace != item.GetNamespace() && !is(id, networks) {
			slog.Warn("an object of an annotation is none that the item can need, and is not restored with it",
				"item", fields.Describe(item), "annotation", objectGraphKey, "object", text)
			continue
		}
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all, true
}

// parseForm undoes form.
func parseForm(text string) (sdk.ResourceIdentifier, bool) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || parts[2] == "" {
		return sdk.ResourceIdentifier{}, false
	}
	resource, group, _ := strings.Cut(parts[0], ".")
	return sdk.ResourceIdentifier{Group: group, Resource: resource, Namespace: parts[1], Name: parts[2]}, true
}

func isOneOf(id sdk.ResourceIdentifier, resources []schema.GroupVersionResource) bool {
	return slices.ContainsFunc(resources, func(resource schema.GroupVersionResource) bool { return is(id, resource) })
}

// restoredFirst are the resources of what is restored before a machine.
var restoredFirst = []schema.GroupVersionResource{
	claims, secrets, configMaps, serviceAccounts, controllerRevisions, dataVolumes, networks, resourceClaims, resourceClaimTemplates,
}

// record writes what a backup has of the objects that a machine needs. The
// instance and its pods are not restored.
func record(item *unstructured.Unstructured, f *filter, all identifiers) {
	setGraph(item, slices.DeleteFunc(slices.Clone(all), func(id sdk.ResourceIdentifier) bool {
		return !isOneOf(id, restoredFirst) || !f.includes(schema.GroupResource{Group: id.Group, Resource: id.Resource})
	}))
}
