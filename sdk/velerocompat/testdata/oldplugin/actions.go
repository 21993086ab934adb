// Command oldplugin is a plugin as vendors have written them: against Velero's
// interfaces, with logrus. main_framework.go serves it with Velero's framework
// and main_moved.go with the SDK; nothing else differs.
package main

import (
	"errors"
	"time"

	"github.com/sirupsen/logrus"
	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// action does what the label "do" of an item says.
type action struct{ log logrus.FieldLogger }

func newBackupAction(log logrus.FieldLogger) (any, error)   { return backupAction{action{log}}, nil }
func newBackupActionV2(log logrus.FieldLogger) (any, error) { return backupActionV2{action{log}}, nil }
func newRestoreAction(log logrus.FieldLogger) (any, error)  { return restoreAction{action{log}}, nil }
func newRestoreActionV2(log logrus.FieldLogger) (any, error) {
	return restoreActionV2{action{log}}, nil
}
func newDeleteAction(log logrus.FieldLogger) (any, error) { return deleteAction{action{log}}, nil }
func newItemBlockAction(log logrus.FieldLogger) (any, error) {
	return itemBlockAction{action{log}}, nil
}
func (action) Name() string { return "" }
func (action) AppliesTo() (velero.ResourceSelector, error) {
	return velero.ResourceSelector{
		IncludedNamespaces: []string{"a"}, ExcludedNamespaces: []string{"b"},
		IncludedResources: []string{"pods"}, ExcludedResources: []string{"secrets"}, LabelSelector: "app=shop",
	}, nil
}

var others = []velero.ResourceIdentifier{
	{GroupResource: schema.GroupResource{Group: "apps", Resource: "deployments"}, Namespace: "shop", Name: "web"},
	{GroupResource: schema.GroupResource{Resource: "namespaces"}, Name: "shop"},
}

// do edits the item and returns it, or nil.
func (a action) do(item runtime.Unstructured, owner string) (runtime.Unstructured, error) {
	object := &unstructured.Unstructured{Object: item.UnstructuredContent()}
	a.log.WithFields(logrus.Fields{"item": object.GetName(), "count": 2}).Info("An item")
	do := object.GetLabels()["do"]
	if do == "nothing" {
		return item, nil
	}
	object.SetAnnotations(map[string]string{"seen-by": owner})
	switch do {
	case "edit and return nil":
		return nil, nil
	case "fail":
		err := errors.New("the item is refused")
		a.log.WithError(err).Warn("A failure")
		return nil, err
	case "panic":
		panic("on purpose")
	case "panic with an error":
		panic(errors.New("on purpose"))
	case "remove the kind":
		object.SetKind("")
	}
	return &unstructured.Unstructured{Object: object.Object}, nil
}

type backupAction struct{ action }

func (a backupAction) Execute(item runtime.Unstructured, backup *velerov1.Backup) (runtime.Unstructured, []velero.ResourceIdentifier, error) {
	updated, err := a.do(item, backup.Name+" in "+backup.Spec.StorageLocation)
	backup.Name = "changed by an action"
	return updated, others, err
}

type backupActionV2 struct{ action }

func (a backupActionV2) Execute(item runtime.Unstructured, backup *velerov1.Backup) (runtime.Unstructured, []velero.ResourceIdentifier, string, []velero.ResourceIdentifier, error) {
	updated, err := a.do(item, backup.Name)
	return updated, others, "operation-1", others[:1], err
}

func (a backupActionV2) Progress(operationID string, backup *velerov1.Backup) (velero.OperationProgress, error) {
	return progressOf(operationID, backup.Name)
}

func (a backupActionV2) Cancel(operationID string, backup *velerov1.Backup) error {
	_, err := progressOf(operationID, backup.Name)
	return err
}

func progressOf(operationID, owner string) (velero.OperationProgress, error) {
	if operationID != "operation-1" {
		return velero.OperationProgress{}, errors.New("there is no operation " + operationID)
	}
	return velero.OperationProgress{
		Completed: true, Err: "disk failure", NCompleted: 3, NTotal: 4, OperationUnits: "bytes", Description: owner,
		Started: time.Unix(1000, 0), Updated: time.Unix(2000, 5),
	}, nil
}

type restoreAction struct{ action }

func (a restoreAction) Execute(input *velero.RestoreItemActionExecuteInput) (*velero.RestoreItemActionExecuteOutput, error) {
	original := &unstructured.Unstructured{Object: input.ItemFromBackup.UnstructuredContent()}
	if original.GetLabels()["do"] == "return no output" {
		return nil, nil
	}
	updated, err := a.do(input.Item, input.Restore.Spec.BackupName+" has "+original.GetName())
	if err != nil {
		return nil, err
	}
	return &velero.RestoreItemActionExecuteOutput{
		UpdatedItem:                 updated,
		AdditionalItems:             others,
		SkipRestore:                 original.GetLabels()["do"] == "skip",
		OperationID:                 "operation-1",
		WaitForAdditionalItems:      true,
		AdditionalItemsReadyTimeout: 3 * time.Second,
	}, nil
}

type restoreActionV2 struct{ action }

func (a restoreActionV2) Execute(input *velero.RestoreItemActionExecuteInput) (*velero.RestoreItemActionExecuteOutput, error) {
	return restoreAction(a).Execute(input)
}

func (a restoreActionV2) Progress(operationID string, restore *velerov1.Restore) (velero.OperationProgress, error) {
	return progressOf(operationID, restore.Spec.BackupName)
}

func (a restoreActionV2) Cancel(operationID string, restore *velerov1.Restore) error {
	_, err := progressOf(operationID, restore.Spec.BackupName)
	return err
}

func (a restoreActionV2) AreAdditionalItemsReady(items []velero.ResourceIdentifier, _ *velerov1.Restore) (bool, error) {
	if len(items) == 0 {
		return false, errors.New("no items")
	}
	return items[0] == others[0], nil
}

type deleteAction struct{ action }

func (a deleteAction) Execute(input *velero.DeleteItemActionExecuteInput) error {
	_, err := a.do(input.Item, input.Backup.Name)
	return err
}

type itemBlockAction struct{ action }

func (a itemBlockAction) GetRelatedItems(item runtime.Unstructured, backup *velerov1.Backup) ([]velero.ResourceIdentifier, error) {
	_, err := a.do(item, backup.Name)
	return others, err
}
