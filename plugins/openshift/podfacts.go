package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// podFacts is what the backup of other objects wants to know of a pod.
type podFacts struct {
	name           string
	labels         labels.Set
	hooks, volumes bool
	build          bool
}

// podLists has the pods of namespaces, each listed once for a backup.
type podLists struct {
	cluster *kube.Cluster
	pods    kube.Memo[[]podFacts]
}

// in returns the pods of a namespace. They are listed once, however many
// objects ask for theirs.
func (p *podLists) in(ctx context.Context, t *velero.Task, namespace string) ([]podFacts, error) {
	return p.pods.Get(ctx, t.Key(namespace), func(ctx context.Context) ([]podFacts, error) {
		var all []podFacts
		err := p.cluster.Each(ctx, api.Pods, namespace, kube.Selection{}, func(pod *unstructured.Unstructured) {
			all = append(all, podFacts{
				name:    pod.GetName(),
				labels:  fields.Labels(pod),
				hooks:   velero.HookedBy(fields.MapAt(pod.Object, "metadata", "annotations")),
				volumes: hasVolumes(fields.MapAt(pod.Object, "spec")),
				build:   fields.Annotation(pod, api.BuildNameKey) != "",
			})
		})
		return all, err
	})
}
