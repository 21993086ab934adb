// Package openshift gives a cluster of the test stack the API groups of
// OpenShift, as custom resources that take any field, and its internal registry.
// Objects whose names hold a colon, such as those of ImageStreamTag, are not to
// be had that way; an Image is named sha256-HEX for its digest sha256:HEX.
package openshift

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// kind is one custom resource.
type kind struct {
	schema.GroupVersionKind
	plural  string
	cluster bool // not in namespaces
}

// imageGroup has the kinds of images.
const imageGroup = "image.openshift.io"

func imageResource(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: imageGroup, Version: "v1", Resource: plural}
}

func (k kind) resource() schema.GroupVersionResource {
	return k.GroupVersion().WithResource(k.plural)
}

func kinds() []kind {
	in := func(group, version, name string) kind {
		return kind{GroupVersionKind: schema.GroupVersionKind{Group: group, Version: version, Kind: name}, plural: strings.ToLower(name) + "s"}
	}
	ofCluster := func(group, version, name, plural string) kind {
		return kind{schema.GroupVersionKind{Group: group, Version: version, Kind: name}, plural, true}
	}
	return []kind{
		in(imageGroup, "v1", "ImageStream"),
		in("route.openshift.io", "v1", "Route"),
		in("build.openshift.io", "v1", "Build"),
		in("build.openshift.io", "v1", "BuildConfig"),
		in("apps.openshift.io", "v1", "DeploymentConfig"),
		in("authorization.openshift.io", "v1", "RoleBinding"),
		in("oadp.openshift.io", "v1alpha1", "NonAdminBackup"),
		in("oadp.openshift.io", "v1alpha1", "NonAdminRestore"),
		in("oadp.openshift.io", "v1alpha1", "NonAdminBackupStorageLocation"),
		ofCluster(imageGroup, "v1", "Image", "images"),
		ofCluster("authorization.openshift.io", "v1", "ClusterRoleBinding", "clusterrolebindings"),
		ofCluster("security.openshift.io", "v1", "SecurityContextConstraints", "securitycontextconstraints"),
		ofCluster("config.openshift.io", "v1", "ClusterVersion", "clusterversions"),
		ofCluster("config.openshift.io", "v1", "Image", "images"),
		ofCluster("imageregistry.operator.openshift.io", "v1", "Config", "configs"),
	}
}

// Install defines the kinds and waits until they are served.
func Install(ctx context.Context, client dynamic.Interface) error {
	definitions := client.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, k := range kinds() {
		definition := k.definition()
		options := metav1.ApplyOptions{FieldManager: "oadp-fake-openshift", Force: true}
		if _, err := definitions.Apply(ctx, definition.GetName(), definition, options); err != nil {
			return fmt.Errorf("defining %s: %w", definition.GetName(), err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, k := range kinds() {
		err := stack.Await(ctx, func() error {
			_, err := client.Resource(k.resource()).List(ctx, metav1.ListOptions{Limit: 1})
			return err
		})
		if err != nil {
			return fmt.Errorf("%s is not served: %w", k.plural, err)
		}
	}
	return nil
}

func (k kind) definition() *unstructured.Unstructured {
	scope := "Namespaced"
	if k.cluster {
		scope = "Cluster"
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": k.plural + "." + k.Group},
		"spec": map[string]any{
			"group": k.Group, "scope": scope,
			"names": map[string]any{"plural": k.plural, "singular": strings.ToLower(k.Kind), "kind": k.Kind, "listKind": k.Kind + "List"},
			"versions": []any{map[string]any{
				"name": k.Version, "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}
}
