package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// OpenShift makes these bindings in each namespace, and keeps them as they are.
var generatedBindings = map[string]bool{
	"system:image-pullers":  true,
	"system:image-builders": true,
	"system:deployers":      true,
}

func (a *actions) restoreRoleBinding(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	if generatedBindings[in.Item.GetName()] {
		return sdk.RestoreResult{Skip: true}, nil
	}
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	mapBinding(r, in.Item, backedUp(in))
	if role := fieldsAt(in.Item.Object, "roleRef"); role != nil {
		editText(role, "namespace", r.target)
	}
	return sdk.RestoreResult{}, nil
}

func (a *actions) restoreClusterRoleBinding(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	mapBinding(r, in.Item, backedUp(in))
	return sdk.RestoreResult{}, nil
}

// mapBinding maps the namespaces of those who have the role. Velero's own action
// may have mapped some of them before, so they are mapped as they were backed
// up, lest they are mapped twice.
func mapBinding(r *restore, item, original *unstructured.Unstructured) {
	subjects, before := listAt(item.Object, "subjects"), listAt(original.Object, "subjects")
	for i := range subjects {
		now, isObject := subjects[i].(fields)
		if !isObject || i >= len(before) {
			continue
		}
		was, _ := before[i].(fields)
		if namespace := textAt(was, "namespace"); namespace != "" {
			now["namespace"] = r.target(namespace)
		}
		switch textAt(was, "kind") {
		case "Group", "SystemGroup":
			editText(now, "name", r.targetGroup)
		case "User", "SystemUser":
			editText(now, "name", r.targetUser)
		}
	}
	editTexts(listAt(item.Object, "groupNames"), r.targetGroup)
	editTexts(listAt(item.Object, "userNames"), r.targetUser)
}
