package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// restoreBuildConfig turns what a build reads and writes to the cluster and
// namespace that are restored to.
func (a *actions) restoreBuildConfig(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	spec := fields.MapAt(in.Item.Object, "spec")
	m := buildMapping{actions: a, restore: r, item: in.Item, swap: a.swapFor(ctx, r, in.Item)}
	m.image(fields.MapAt(spec, "output", "to"))
	if err := m.secret(ctx, fields.MapAt(spec, "output"), "pushSecret"); err != nil {
		return sdk.RestoreResult{}, err
	}
	for _, strategy := range []string{"dockerStrategy", "sourceStrategy", "customStrategy"} {
		if err := m.input(ctx, fields.MapAt(spec, "strategy", strategy)); err != nil {
			return sdk.RestoreResult{}, err
		}
	}
	for image := range fields.Each(fields.ListAt(spec, "source", "images")) {
		if err := m.input(ctx, image); err != nil {
			return sdk.RestoreResult{}, err
		}
	}
	for trigger := range fields.Each(fields.ListAt(spec, "triggers")) {
		m.image(fields.MapAt(trigger, "imageChange", "from"))
	}
	return sdk.RestoreResult{}, nil
}

type buildMapping struct {
	*actions
	restore *velero.Restore
	item    *unstructured.Unstructured
	swap    imageSwap
}

// input maps the image that a build begins with, or copies files from.
func (m buildMapping) input(ctx context.Context, from fields.Map) error {
	m.image(fields.MapAt(from, "from"))
	return m.secret(ctx, from, "pullSecret")
}

// image maps a reference to an image, or to the tag of an image stream.
func (m buildMapping) image(reference fields.Map) {
	switch fields.TextAt(reference, "kind") {
	case "DockerImage":
		fields.EditText(reference, "name", m.swap.image)
	case "ImageStreamTag", "ImageStreamImage":
		fields.EditText(reference, "namespace", m.restore.TargetNamespace)
	}
}

// secret maps the reference to a secret in a field, and drops it if there is no
// such secret.
func (m buildMapping) secret(ctx context.Context, holder fields.Map, field string) error {
	reference := fields.MapAt(holder, field)
	if generatedPrefix(fields.TextAt(reference, "name")) == "" {
		return nil
	}
	keep, err := m.pullSecrets.swap(ctx, m.restore, m.item, reference)
	if err == nil && !keep {
		delete(holder, field)
	}
	return err
}
