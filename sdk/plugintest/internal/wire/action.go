package wire

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
)

// List asks a plugin what it offers.
func List(ctx context.Context, conn grpc.ClientConnInterface) ([]*abi.PluginIdentifier, error) {
	out := &abi.ListPluginsResponse{}
	err := conn.Invoke(ctx, "/generated.PluginLister/ListPlugins", &abi.Empty{}, out)
	return out.GetPlugins(), err
}

// Shutdown asks a plugin to end.
func Shutdown(ctx context.Context, conn grpc.ClientConnInterface) error {
	return conn.Invoke(ctx, "/plugin.GRPCController/Shutdown", &abi.Empty{}, &abi.Empty{})
}

// Action calls an action on items of any kind.
type Action struct {
	Conn grpc.ClientConnInterface
	Kind Kind
	Name string
}

func (a Action) AppliesTo(ctx context.Context) (*abi.ResourceSelector, error) {
	out := &abi.AppliesToResponse{}
	err := a.call(ctx, "AppliesTo", &abi.AppliesToRequest{Plugin: a.Name}, out)
	return out.GetResourceSelector(), err
}

// Result is what an action answers.
type Result struct {
	Item        []byte // nil for kinds that return no item
	OperationID string
}

// Execute hands an item to the action, with the Backup or Restore that it
// belongs to.
func (a Action) Execute(ctx context.Context, item, owner []byte) (Result, error) {
	switch a.Kind {
	case BackupItemAction, BackupItemActionV2:
		out := &abi.BackupItemResponse{}
		err := a.call(ctx, "Execute", &abi.BackupItemRequest{Plugin: a.Name, Item: item, Backup: owner}, out)
		return Result{out.GetItem(), out.GetOperationId()}, err
	case RestoreItemAction, RestoreItemActionV2:
		out := &abi.RestoreItemResponse{}
		err := a.call(ctx, "Execute", &abi.RestoreItemRequest{Plugin: a.Name, Item: item, Restore: owner, ItemFromBackup: item}, out)
		return Result{out.GetItem(), out.GetOperationId()}, err
	case DeleteItemAction:
		return Result{}, a.call(ctx, "Execute", &abi.BackupItemRequest{Plugin: a.Name, Item: item, Backup: owner}, &abi.Empty{})
	default:
		return Result{}, a.call(ctx, "GetRelatedItems", &abi.BackupItemRequest{Plugin: a.Name, Item: item, Backup: owner}, &abi.RelatedItemsResponse{})
	}
}

// ReturnsItem reports whether Execute answers with an item.
func (a Action) ReturnsItem() bool {
	k := a.Kind.Version1()
	return k == BackupItemAction || k == RestoreItemAction
}

// Progress asks for the state of an operation; nil is an answer without one.
func (a Action) Progress(ctx context.Context, operation string, owner []byte) (*abi.OperationProgress, error) {
	out := &abi.ProgressResponse{}
	err := a.call(ctx, "Progress", &abi.OperationRequest{Plugin: a.Name, OperationId: operation, Owner: owner}, out)
	return out.GetProgress(), err
}

func (a Action) Cancel(ctx context.Context, operation string, owner []byte) error {
	return a.call(ctx, "Cancel", &abi.OperationRequest{Plugin: a.Name, OperationId: operation, Owner: owner}, &emptypb.Empty{})
}

// Ready asks a restore action whether the additional items of a Restore are
// ready.
func (a Action) Ready(ctx context.Context, items []*abi.ResourceIdentifier, restore []byte) (bool, error) {
	out := &abi.ItemsReadyResponse{}
	err := a.call(ctx, "AreAdditionalItemsReady", &abi.ItemsReadyRequest{Plugin: a.Name, AdditionalItems: items, Restore: restore}, out)
	return out.GetReady(), err
}

func (a Action) call(ctx context.Context, method string, in, out any) error {
	return a.Conn.Invoke(ctx, a.Kind.method(method), in, out)
}

// FirstMethod returns the full name of a method of the kind that takes the name
// of a plugin in field 1 and has no other effect than a look-up when that name
// is unknown.
func (k Kind) FirstMethod() string {
	if k.Action() {
		return k.method("AppliesTo")
	}
	return k.method("Init")
}
