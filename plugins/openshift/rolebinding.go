package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
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
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	mapBinding(r, in.Item, velero.BackedUp(in))
	return sdk.RestoreResult{}, nil
}

func (a *actions) restoreClusterRoleBinding(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	mapBinding(r, in.Item, velero.BackedUp(in))
	return sdk.RestoreResult{}, nil
}

// mapBinding maps the namespaces of the role and of those who have it. Velero's own action
// may have mapped some of them before, so they are mapped as they were backed
// up, lest they are mapped twice.
func mapBinding(r *velero.Restore, item, original *unstructured.Unstructured) {
	subjects, before := fields.ListAt(item.Object, "subjects"), fields.ListAt(original.Object, "subjects")
	for i := range subjects {
		now, isObject := subjects[i].(fields.Map)
		if !isObject || i >= len(before) {
			continue
		}
		was, _ := before[i].(fields.Map)
		if namespace := fields.TextAt(was, "namespace"); namespace != "" {
			now["namespace"] = r.TargetNamespace(namespace)
		}
		switch fields.TextAt(was, "kind") {
		case "Group", "SystemGroup":
			fields.EditText(now, "name", r.TargetGroup)
		case "User", "SystemUser":
			fields.EditText(now, "name", r.TargetUser)
		case "": // the name tells
			fields.EditText(now, "name", r.TargetGroup)
			fields.EditText(now, "name", r.TargetUser)
		}
	}
	// Only roles of OpenShift's own kind of bindings have a namespace.
	if role := fields.MapAt(item.Object, "roleRef"); role != nil {
		fields.EditText(role, "namespace", r.TargetNamespace)
	}
	fields.EditTexts(fields.ListAt(item.Object, "groupNames"), r.TargetGroup)
	fields.EditTexts(fields.ListAt(item.Object, "userNames"), r.TargetUser)
}
