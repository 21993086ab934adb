package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
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

// podsIn returns the pods of a namespace. They are listed once, however many
// objects ask for theirs.
func (a *actions) podsIn(ctx context.Context, t *task, namespace string) ([]podFacts, error) {
	return a.pods.Get(ctx, t.key(namespace), func(ctx context.Context) ([]podFacts, error) {
		var all []podFacts
		err := a.cluster.Each(ctx, pods, namespace, kube.Selection{}, func(pod *unstructured.Unstructured) {
			all = append(all, podFacts{
				name:    pod.GetName(),
				labels:  labelsOf(pod),
				hooks:   hookedBy(fieldsAt(pod.Object, "metadata", "annotations")),
				volumes: hasVolumes(fieldsAt(pod.Object, "spec")),
				build:   hasAnnotation(pod, buildNameKey),
			})
		})
		return all, err
	})
}
