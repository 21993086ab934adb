package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// restoreBuildConfig turns what a build reads and writes to the cluster and
// namespace that are restored to.
func (a *actions) restoreBuildConfig(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	spec := fieldsAt(in.Item.Object, "spec")
	m := buildMapping{actions: a, restore: r, item: in.Item, swap: a.swapFor(ctx, r, in.Item)}
	m.image(fieldsAt(spec, "output", "to"))
	if err := m.secret(ctx, fieldsAt(spec, "output"), "pushSecret"); err != nil {
		return sdk.RestoreResult{}, err
	}
	for _, strategy := range []string{"dockerStrategy", "sourceStrategy", "customStrategy"} {
		if err := m.input(ctx, fieldsAt(spec, "strategy", strategy)); err != nil {
			return sdk.RestoreResult{}, err
		}
	}
	for image := range each(listAt(spec, "source", "images")) {
		if err := m.input(ctx, image); err != nil {
			return sdk.RestoreResult{}, err
		}
	}
	for trigger := range each(listAt(spec, "triggers")) {
		m.image(fieldsAt(trigger, "imageChange", "from"))
	}
	return sdk.RestoreResult{}, nil
}

type buildMapping struct {
	*actions
	restore *restore
	item    *unstructured.Unstructured
	swap    imageSwap
}

// input maps the image that a build begins with, or copies files from.
func (m buildMapping) input(ctx context.Context, from fields) error {
	m.image(fieldsAt(from, "from"))
	return m.secret(ctx, from, "pullSecret")
}

// image maps a reference to an image, or to the tag of an image stream.
func (m buildMapping) image(reference fields) {
	switch textAt(reference, "kind") {
	case "DockerImage":
		editText(reference, "name", m.swap.image)
	case "ImageStreamTag", "ImageStreamImage":
		editText(reference, "namespace", m.restore.target)
	}
}

// secret maps the reference to a secret in a field, and drops it if there is no
// such secret.
func (m buildMapping) secret(ctx context.Context, holder fields, field string) error {
	reference := fieldsAt(holder, field)
	if generatedPrefix(textAt(reference, "name")) == "" {
		return nil
	}
	keep, err := m.swapPullSecret(ctx, m.restore, m.item, reference)
	if err == nil && !keep {
		delete(holder, field)
	}
	return err
}
