// Package sdktest calls item actions as Velero's side of a plugin process does,
// without a binary and without a server. Items, Backups and Restores are given as
// YAML or JSON.
//
//	func TestStamp(t *testing.T) {
//		got, err := sdktest.Backup(t, newStamp,
//			"{kind: Pod, metadata: {name: web}}",
//			"{metadata: {name: nightly}, spec: {storageLocation: default}}")
//		...
//	}
//
// A call decodes and checks what it is given, and what the action answers, in the
// way of the process that Velero starts: an action with half of an ability, an
// operation that could not be asked for its progress, and an item without a kind
// are errors. A panic is an error, too. errors.Is finds the action's own error in
// the one that a call returns.
//
// Whole binaries, and object stores and volume snapshotters, are tested with
// package plugintest.
package sdktest

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
)

// name is what an action is registered as.
const name = "sdktest.example.io/action"

// Host returns a host whose logger writes to the output of the test.
func Host(t testing.TB) sdk.Host {
	return sdk.Host{
		Logger:    slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: sdk.LevelTrace})),
		Namespace: "velero",
		Cluster:   sdk.ClusterFromArgs(nil),
		Name:      name,
	}
}

// Item returns the object of that YAML or JSON.
func Item(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	item, err := sdk.NewDocument(toJSON(t, text)).Object()
	if err != nil {
		t.Fatalf("the item: %v", err)
	}
	return item
}

// NewBackup returns the Backup of that YAML or JSON.
func NewBackup(t testing.TB, text string) sdk.Backup {
	t.Helper()
	return sdk.NewBackup(toJSON(t, text))
}

// NewRestore returns the Restore of that YAML or JSON.
func NewRestore(t testing.TB, text string) sdk.Restore {
	t.Helper()
	return sdk.NewRestore(toJSON(t, text))
}

func toJSON(t testing.TB, text string) []byte {
	t.Helper()
	json, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("the test gives neither YAML nor JSON: %v\n%s", err, text)
	}
	return json
}

// BackupOutput is what Velero gets from a BackupItemAction.
type BackupOutput struct {
	Item *unstructured.Unstructured // as it goes into the backup
	sdk.BackupResult
}

// Backup calls a BackupItemAction.
func Backup(t testing.TB, newAction func(sdk.Host) (sdk.BackupItemAction, error), item, backup string) (BackupOutput, error) {
	t.Helper()
	response := new(abi.BackupItemResponse)
	err := call(t, "v2.BackupItemAction", "Execute", registerBackup(t, newAction),
		&abi.BackupItemRequest{Plugin: name, Item: toJSON(t, item), Backup: toJSON(t, backup)}, response)
	if err != nil {
		return BackupOutput{}, err
	}
	return BackupOutput{Item(t, string(response.GetItem())), sdk.BackupResult{
		AdditionalItems:    identifiers(response.GetAdditionalItems()),
		OperationID:        response.GetOperationId(),
		PostOperationItems: identifiers(response.GetPostOperationItems()),
	}}, nil
}

// BackupProgress asks a BackupItemAction for the progress of an operation.
func BackupProgress(t testing.TB, newAction func(sdk.Host) (sdk.BackupItemAction, error), operationID, backup string) (sdk.Progress, error) {
	t.Helper()
	response := new(abi.ProgressResponse)
	err := call(t, "v2.BackupItemAction", "Progress", registerBackup(t, newAction),
		&abi.OperationRequest{Plugin: name, OperationId: operationID, Owner: toJSON(t, backup)}, response)
	return progress(response.GetProgress()), err
}

// CancelBackup cancels an operation of a BackupItemAction.
func CancelBackup(t testing.TB, newAction func(sdk.Host) (sdk.BackupItemAction, error), operationID, backup string) error {
	t.Helper()
	return call(t, "v2.BackupItemAction", "Cancel", registerBackup(t, newAction),
		&abi.OperationRequest{Plugin: name, OperationId: operationID, Owner: toJSON(t, backup)}, nil)
}

func registerBackup(t testing.TB, newAction func(sdk.Host) (sdk.BackupItemAction, error)) func(*sdk.Plugin) {
	return func(p *sdk.Plugin) {
		p.BackupItemAction(name, func(h sdk.Host) (sdk.BackupItemAction, error) { return newAction(withLog(t, h)) })
	}
}

// RestoreOutput is what Velero gets from a RestoreItemAction.
type RestoreOutput struct {
	Item *unstructured.Unstructured // as it is restored, but for its namespace
	sdk.RestoreResult
}

// Restore calls a RestoreItemAction. fromBackup is the item as it was backed up;
// "" stands for item.
func Restore(t testing.TB, newAction func(sdk.Host) (sdk.RestoreItemAction, error), item, fromBackup, restore string) (RestoreOutput, error) {
	t.Helper()
	if fromBackup == "" {
		fromBackup = item
	}
	response := new(abi.RestoreItemResponse)
	err := call(t, "v2.RestoreItemAction", "Execute", registerRestore(t, newAction), &abi.RestoreItemRequest{
		Plugin: name, Item: toJSON(t, item), ItemFromBackup: toJSON(t, fromBackup), Restore: toJSON(t, restore),
	}, response)
	if err != nil {
		return RestoreOutput{}, err
	}
	return RestoreOutput{Item(t, string(response.GetItem())), sdk.RestoreResult{
		Skip:                   response.GetSkipRestore(),
		AdditionalItems:        identifiers(response.GetAdditionalItems()),
		OperationID:            response.GetOperationId(),
		WaitForAdditionalItems: response.GetWaitForAdditionalItems(),
		AdditionalItemsTimeout: response.GetAdditionalItemsReadyTimeout().AsDuration(),
	}}, nil
}

// RestoreProgress asks a RestoreItemAction for the progress of an operation.
func RestoreProgress(t testing.TB, newAction func(sdk.Host) (sdk.RestoreItemAction, error), operationID, restore string) (sdk.Progress, error) {
	t.Helper()
	response := new(abi.ProgressResponse)
	err := call(t, "v2.RestoreItemAction", "Progress", registerRestore(t, newAction),
		&abi.OperationRequest{Plugin: name, OperationId: operationID, Owner: toJSON(t, restore)}, response)
	return progress(response.GetProgress()), err
}

// CancelRestore cancels an operation of a RestoreItemAction.
func CancelRestore(t testing.TB, newAction func(sdk.Host) (sdk.RestoreItemAction, error), operationID, restore string) error {
	t.Helper()
	return call(t, "v2.RestoreItemAction", "Cancel", registerRestore(t, newAction),
		&abi.OperationRequest{Plugin: name, OperationId: operationID, Owner: toJSON(t, restore)}, nil)
}

// ItemsReady asks a RestoreItemAction whether additional items are ready.
func ItemsReady(t testing.TB, newAction func(sdk.Host) (sdk.RestoreItemAction, error), items []sdk.ResourceIdentifier, restore string) (bool, error) {
	t.Helper()
	request := &abi.ItemsReadyRequest{Plugin: name, Restore: toJSON(t, restore)}
	for _, id := range items {
		request.AdditionalItems = append(request.AdditionalItems,
			&abi.ResourceIdentifier{Group: id.Group, Resource: id.Resource, Namespace: id.Namespace, Name: id.Name})
	}
	response := new(abi.ItemsReadyResponse)
	err := call(t, "v2.RestoreItemAction", "AreAdditionalItemsReady", registerRestore(t, newAction), request, response)
	return response.GetReady(), err
}

func registerRestore(t testing.TB, newAction func(sdk.Host) (sdk.RestoreItemAction, error)) func(*sdk.Plugin) {
	return func(p *sdk.Plugin) {
		p.RestoreItemAction(name, func(h sdk.Host) (sdk.RestoreItemAction, error) { return newAction(withLog(t, h)) })
	}
}

// Delete calls a DeleteItemAction.
func Delete(t testing.TB, newAction func(sdk.Host) (sdk.DeleteItemAction, error), item, backup string) error {
	t.Helper()
	return call(t, "generated.DeleteItemAction", "Execute", func(p *sdk.Plugin) {
		p.DeleteItemAction(name, func(h sdk.Host) (sdk.DeleteItemAction, error) { return newAction(withLog(t, h)) })
	}, &abi.BackupItemRequest{Plugin: name, Item: toJSON(t, item), Backup: toJSON(t, backup)}, nil)
}

// RelatedItems calls an ItemBlockAction.
func RelatedItems(t testing.TB, newAction func(sdk.Host) (sdk.ItemBlockAction, error), item, backup string) ([]sdk.ResourceIdentifier, error) {
	t.Helper()
	response := new(abi.RelatedItemsResponse)
	err := call(t, "v1.ItemBlockAction", "GetRelatedItems", func(p *sdk.Plugin) {
		p.ItemBlockAction(name, func(h sdk.Host) (sdk.ItemBlockAction, error) { return newAction(withLog(t, h)) })
	}, &abi.BackupItemRequest{Plugin: name, Item: toJSON(t, item), Backup: toJSON(t, backup)}, response)
	return identifiers(response.GetRelatedItems()), err
}

func withLog(t testing.TB, h sdk.Host) sdk.Host {
	h.Logger = Host(t).Logger
	return h
}

// services are the services of a plugin by name.
type services map[string]*grpc.ServiceDesc

// RegisterService implements grpc.ServiceRegistrar.
func (s services) RegisterService(desc *grpc.ServiceDesc, _ any) { s[desc.ServiceName] = desc }

// call calls one method of a plugin with one action. A nil response is not
// wanted.
func call(t testing.TB, service, method string, register func(*sdk.Plugin), request, response proto.Message) error {
	t.Helper()
	p := sdk.New("sdktest", "test")
	register(p)
	registered := services{}
	if err := p.Register(registered); err != nil {
		t.Fatal(err)
	}
	for _, m := range registered[service].Methods {
		if m.MethodName != method {
			continue
		}
		answer, err := m.Handler(nil, t.Context(), func(into any) error {
			proto.Merge(into.(proto.Message), request)
			return nil
		}, nil)
		if err != nil {
			// What is around the error is for gRPC only.
			if own := errors.Unwrap(err); own != nil {
				return own
			}
			return err
		}
		if response != nil {
			proto.Merge(response, answer.(proto.Message))
		}
		return nil
	}
	panic(fmt.Sprintf("there is no method %s of %s", method, service))
}

func identifiers(in []*abi.ResourceIdentifier) []sdk.ResourceIdentifier {
	var out []sdk.ResourceIdentifier
	for _, id := range in {
		out = append(out, sdk.ResourceIdentifier{Group: id.GetGroup(), Resource: id.GetResource(), Namespace: id.GetNamespace(), Name: id.GetName()})
	}
	return out
}

func progress(p *abi.OperationProgress) sdk.Progress {
	out := sdk.Progress{
		Completed: p.GetCompleted(), Err: p.GetErr(), Done: p.GetNCompleted(), Total: p.GetNTotal(),
		Units: p.GetOperationUnits(), Description: p.GetDescription(),
	}
	if p.GetStarted() != nil {
		out.Started = p.GetStarted().AsTime()
	}
	if p.GetUpdated() != nil {
		out.Updated = p.GetUpdated().AsTime()
	}
	return out
}
