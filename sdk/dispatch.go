package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"github.com/oadp-plugins/oadp-plugins/sdk/internal/item"
	"github.com/oadp-plugins/oadp-plugins/sdk/internal/server"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// services is the dispatch table: every method of the plugin ABI, and what it
// calls. Both versions of an action are served, whichever of them is listed.
func (p *Plugin) services(s *server.Server) []grpc.ServiceDesc {
	return []grpc.ServiceDesc{
		{ServiceName: "generated.PluginLister", Methods: []grpc.MethodDesc{
			server.Unary(s, "ListPlugins", p.list),
		}},
		{ServiceName: "generated.ObjectStore", Methods: []grpc.MethodDesc{
			method(s, p.objectStores, "Init", initStore[ObjectStore]),
			method(s, p.objectStores, "ObjectExists", objectExists),
			method(s, p.objectStores, "ListCommonPrefixes", listCommonPrefixes),
			method(s, p.objectStores, "ListObjects", listObjects),
			method(s, p.objectStores, "DeleteObject", deleteObject),
			method(s, p.objectStores, "CreateSignedURL", createSignedURL),
		}, Streams: []grpc.StreamDesc{
			server.Upload(s, "PutObject", p.putObject),
			server.Download(s, "GetObject", p.getObject),
		}},
		{ServiceName: "generated.VolumeSnapshotter", Methods: []grpc.MethodDesc{
			method(s, p.volumeSnapshotters, "Init", initStore[VolumeSnapshotter]),
			method(s, p.volumeSnapshotters, "CreateVolumeFromSnapshot", createVolume),
			method(s, p.volumeSnapshotters, "GetVolumeInfo", getVolumeInfo),
			method(s, p.volumeSnapshotters, "CreateSnapshot", createSnapshot),
			method(s, p.volumeSnapshotters, "DeleteSnapshot", deleteSnapshot),
			method(s, p.volumeSnapshotters, "GetVolumeID", getVolumeID),
			method(s, p.volumeSnapshotters, "SetVolumeID", setVolumeID),
		}},
		{ServiceName: "generated.BackupItemAction", Methods: []grpc.MethodDesc{
			method(s, p.backupItemActions, "AppliesTo", appliesTo[BackupItemAction]),
			method(s, p.backupItemActions, "Execute", p.backupItem),
		}},
		{ServiceName: "v2.BackupItemAction", Methods: []grpc.MethodDesc{
			method(s, p.backupItemActions, "AppliesTo", appliesTo[BackupItemAction]),
			method(s, p.backupItemActions, "Execute", p.backupItem),
			method(s, p.backupItemActions, "Progress", p.backupProgress),
			method(s, p.backupItemActions, "Cancel", p.cancelBackup),
		}},
		{ServiceName: "generated.RestoreItemAction", Methods: []grpc.MethodDesc{
			method(s, p.restoreItemActions, "AppliesTo", appliesTo[RestoreItemAction]),
			method(s, p.restoreItemActions, "Execute", p.restoreItem),
		}},
		{ServiceName: "v2.RestoreItemAction", Methods: []grpc.MethodDesc{
			method(s, p.restoreItemActions, "AppliesTo", appliesTo[RestoreItemAction]),
			method(s, p.restoreItemActions, "Execute", p.restoreItem),
			method(s, p.restoreItemActions, "Progress", p.restoreProgress),
			method(s, p.restoreItemActions, "Cancel", p.cancelRestore),
			method(s, p.restoreItemActions, "AreAdditionalItemsReady", p.itemsReady),
		}},
		{ServiceName: "generated.DeleteItemAction", Methods: []grpc.MethodDesc{
			method(s, p.deleteItemActions, "AppliesTo", appliesTo[DeleteItemAction]),
			method(s, p.deleteItemActions, "Execute", p.deleteItem),
		}},
		{ServiceName: "v1.ItemBlockAction", Methods: []grpc.MethodDesc{
			method(s, p.itemBlockActions, "AppliesTo", appliesTo[ItemBlockAction]),
			method(s, p.itemBlockActions, "GetRelatedItems", p.relatedItems),
		}},
	}
}

// named is a request of the ABI: all of them name the plugin.
type named[M any] interface {
	*M
	proto.Message
	GetPlugin() string
}

// method returns a method that finds the implementation which the request
// names, and calls f with it.
func method[T, M any, Request named[M], Response proto.Message](
	s *server.Server, r registry[T], name string, f func(context.Context, T, Request) (Response, error),
) grpc.MethodDesc {
	return server.Unary(s, name, func(ctx context.Context, request Request) (Response, error) {
		implementation, err := r.find(request.GetPlugin())
		if err != nil {
			var none Response
			return none, err
		}
		return f(ctx, implementation, request)
	})
}

// kinds of the plugin lister.
const (
	kindObjectStore         = "ObjectStore"
	kindVolumeSnapshotter   = "VolumeSnapshotter"
	kindBackupItemAction    = "BackupItemAction"
	kindBackupItemActionV2  = "BackupItemActionV2"
	kindRestoreItemAction   = "RestoreItemAction"
	kindRestoreItemActionV2 = "RestoreItemActionV2"
	kindDeleteItemAction    = "DeleteItemAction"
	kindItemBlockAction     = "ItemBlockAction"
)

// list tells the host what is registered. An action is listed once: under
// version 2 if it needs what only that version has, as the host runs an action
// twice that it finds under both.
//
// Hosts do not start when they are told of a kind that they do not know, and do
// not say which they know. Item blocks came with the release that changed the
// arguments of plugins, so the arguments tell.
func (p *Plugin) list(context.Context, *abi.Empty) (*abi.ListPluginsResponse, error) {
	p.announced.Do(func() { p.log.Info("plugin binary", "binary", p.name, "version", p.version, "commit", revision()) })
	var out abi.ListPluginsResponse
	add := func(kind, name string) {
		out.Plugins = append(out.Plugins, &abi.PluginIdentifier{Command: os.Args[0], Kind: kind, Name: name})
	}
	for _, name := range p.objectStores.names() {
		add(kindObjectStore, name)
	}
	for _, name := range p.volumeSnapshotters.names() {
		add(kindVolumeSnapshotter, name)
	}
	for _, name := range p.backupItemActions.names() {
		if _, ok := p.backupItemActions[name]().(BackupOperations); ok {
			add(kindBackupItemActionV2, name)
		} else {
			add(kindBackupItemAction, name)
		}
	}
	for _, name := range p.restoreItemActions.names() {
		if needsRestoreV2(p.restoreItemActions[name]()) {
			add(kindRestoreItemActionV2, name)
		} else {
			add(kindRestoreItemAction, name)
		}
	}
	for _, name := range p.deleteItemActions.names() {
		add(kindDeleteItemAction, name)
	}
	if p.flags.Legacy && len(p.itemBlockActions) > 0 {
		p.log.Info("item block actions are not announced, since the server's arguments are those of Velero 1.14 or older",
			"actions", p.itemBlockActions.names())
		return &out, nil
	}
	for _, name := range p.itemBlockActions.names() {
		add(kindItemBlockAction, name)
	}
	return &out, nil
}

func needsRestoreV2(action RestoreItemAction) bool {
	_, operations := action.(RestoreOperations)
	_, readiness := action.(ItemsReadiness)
	return operations || readiness
}

type initializer interface {
	Init(context.Context, map[string]string) error
}

func initStore[T initializer](ctx context.Context, t T, r *abi.InitRequest) (*abi.Empty, error) {
	config := r.GetConfig()
	if config == nil {
		config = map[string]string{}
	}
	return &abi.Empty{}, t.Init(ctx, config)
}

func (p *Plugin) putObject(ctx context.Context, first *server.Chunk, body io.Reader) error {
	store, err := p.objectStores.find(first.Plugin)
	if err != nil {
		return err
	}
	return store.PutObject(ctx, first.Bucket, first.Key, body)
}

func (p *Plugin) getObject(ctx context.Context, r *abi.ObjectRequest) (io.ReadCloser, error) {
	store, err := p.objectStores.find(r.GetPlugin())
	if err != nil {
		return nil, err
	}
	return store.GetObject(ctx, r.GetBucket(), r.GetKey())
}

func objectExists(ctx context.Context, store ObjectStore, r *abi.ObjectRequest) (*abi.ObjectExistsResponse, error) {
	exists, err := store.ObjectExists(ctx, r.GetBucket(), r.GetKey())
	return &abi.ObjectExistsResponse{Exists: exists}, err
}

func listCommonPrefixes(ctx context.Context, store ObjectStore, r *abi.ListCommonPrefixesRequest) (*abi.ListCommonPrefixesResponse, error) {
	prefixes, err := store.ListCommonPrefixes(ctx, r.GetBucket(), r.GetPrefix(), r.GetDelimiter())
	return &abi.ListCommonPrefixesResponse{Prefixes: prefixes}, err
}

func listObjects(ctx context.Context, store ObjectStore, r *abi.ListObjectsRequest) (*abi.ListObjectsResponse, error) {
	keys, err := store.ListObjects(ctx, r.GetBucket(), r.GetPrefix())
	return &abi.ListObjectsResponse{Keys: keys}, err
}

func deleteObject(ctx context.Context, store ObjectStore, r *abi.ObjectRequest) (*abi.Empty, error) {
	return &abi.Empty{}, store.DeleteObject(ctx, r.GetBucket(), r.GetKey())
}

func createSignedURL(ctx context.Context, store ObjectStore, r *abi.CreateSignedURLRequest) (*abi.CreateSignedURLResponse, error) {
	url, err := store.CreateSignedURL(ctx, r.GetBucket(), r.GetKey(), time.Duration(r.GetTtl()))
	return &abi.CreateSignedURLResponse{Url: url}, err
}

func createVolume(ctx context.Context, v VolumeSnapshotter, r *abi.CreateVolumeRequest) (*abi.CreateVolumeResponse, error) {
	id, err := v.CreateVolumeFromSnapshot(ctx, r.GetSnapshotId(), r.GetVolumeType(), r.GetVolumeAz(), r.GetIops())
	return &abi.CreateVolumeResponse{VolumeId: id}, err
}

func getVolumeInfo(ctx context.Context, v VolumeSnapshotter, r *abi.GetVolumeInfoRequest) (*abi.GetVolumeInfoResponse, error) {
	volumeType, iops, err := v.GetVolumeInfo(ctx, r.GetVolumeId(), r.GetVolumeAz())
	return &abi.GetVolumeInfoResponse{VolumeType: volumeType, Iops: iops}, err
}

func createSnapshot(ctx context.Context, v VolumeSnapshotter, r *abi.CreateSnapshotRequest) (*abi.CreateSnapshotResponse, error) {
	id, err := v.CreateSnapshot(ctx, r.GetVolumeId(), r.GetVolumeAz(), r.GetTags())
	return &abi.CreateSnapshotResponse{SnapshotId: id}, err
}

func deleteSnapshot(ctx context.Context, v VolumeSnapshotter, r *abi.DeleteSnapshotRequest) (*abi.Empty, error) {
	return &abi.Empty{}, v.DeleteSnapshot(ctx, r.GetSnapshotId())
}

func getVolumeID(ctx context.Context, v VolumeSnapshotter, r *abi.GetVolumeIDRequest) (*abi.GetVolumeIDResponse, error) {
	pv, err := item.Decode(r.GetPersistentVolume())
	if err != nil {
		return nil, fmt.Errorf("the persistent volume that Velero sent: %w", err)
	}
	id, err := v.GetVolumeID(ctx, pv)
	return &abi.GetVolumeIDResponse{VolumeId: id}, err
}

func setVolumeID(ctx context.Context, v VolumeSnapshotter, r *abi.SetVolumeIDRequest) (*abi.SetVolumeIDResponse, error) {
	pv, err := item.Decode(r.GetPersistentVolume())
	if err != nil {
		return nil, fmt.Errorf("the persistent volume that Velero sent: %w", err)
	}
	unchanged := item.NewFingerprint(pv)
	if err := v.SetVolumeID(ctx, pv, r.GetVolumeId()); err != nil {
		return nil, err
	}
	raw, err := encode(pv, unchanged, r.GetPersistentVolume())
	return &abi.SetVolumeIDResponse{PersistentVolume: raw}, err
}

func appliesTo[T Applier](ctx context.Context, action T, _ *abi.AppliesToRequest) (*abi.AppliesToResponse, error) {
	selector, err := action.AppliesTo(ctx)
	return &abi.AppliesToResponse{ResourceSelector: &abi.ResourceSelector{
		IncludedNamespaces: selector.IncludedNamespaces,
		ExcludedNamespaces: selector.ExcludedNamespaces,
		IncludedResources:  selector.IncludedResources,
		ExcludedResources:  selector.ExcludedResources,
		Selector:           selector.LabelSelector,
	}}, err
}

func (p *Plugin) backupItem(ctx context.Context, action BackupItemAction, r *abi.BackupItemRequest) (*abi.BackupItemResponse, error) {
	object, err := decode(r.GetItem())
	if err != nil {
		return nil, err
	}
	unchanged := item.NewFingerprint(object)
	result, err := action.Backup(ctx, object, p.backup(r.GetBackup()))
	if err != nil {
		return nil, err
	}
	if _, ok := action.(BackupOperations); !ok && result.OperationID != "" {
		return nil, fmt.Errorf("%s began the operation %s but cannot tell its progress", r.GetPlugin(), result.OperationID)
	}
	raw, err := encode(object, unchanged, r.GetItem())
	return &abi.BackupItemResponse{
		Item:               raw,
		AdditionalItems:    toIdentifiers(result.AdditionalItems),
		OperationId:        result.OperationID,
		PostOperationItems: toIdentifiers(result.PostOperationItems),
	}, err
}

func (p *Plugin) restoreItem(ctx context.Context, action RestoreItemAction, r *abi.RestoreItemRequest) (*abi.RestoreItemResponse, error) {
	object, err := decode(r.GetItem())
	if err != nil {
		return nil, err
	}
	unchanged := item.NewFingerprint(object)
	result, err := action.Restore(ctx, RestoreInput{
		Item:       object,
		FromBackup: NewDocument(r.GetItemFromBackup()),
		Restore:    p.restore(r.GetRestore()),
	})
	if err != nil {
		return nil, err
	}
	if _, ok := action.(RestoreOperations); !ok && result.OperationID != "" {
		return nil, fmt.Errorf("%s began the operation %s but cannot tell its progress", r.GetPlugin(), result.OperationID)
	}
	if result.WaitForAdditionalItems && !needsRestoreV2(action) {
		return nil, fmt.Errorf("%s waits for items but cannot tell when they are ready", r.GetPlugin())
	}
	raw, err := encode(object, unchanged, r.GetItem())
	out := &abi.RestoreItemResponse{
		Item:                   raw,
		AdditionalItems:        toIdentifiers(result.AdditionalItems),
		SkipRestore:            result.Skip,
		OperationId:            result.OperationID,
		WaitForAdditionalItems: result.WaitForAdditionalItems,
	}
	if result.AdditionalItemsTimeout > 0 {
		out.AdditionalItemsReadyTimeout = durationpb.New(result.AdditionalItemsTimeout)
	}
	return out, err
}

func (p *Plugin) deleteItem(ctx context.Context, action DeleteItemAction, r *abi.BackupItemRequest) (*abi.Empty, error) {
	object, err := decode(r.GetItem())
	if err != nil {
		return nil, err
	}
	return &abi.Empty{}, action.Delete(ctx, object, p.backup(r.GetBackup()))
}

func (p *Plugin) relatedItems(ctx context.Context, action ItemBlockAction, r *abi.BackupItemRequest) (*abi.RelatedItemsResponse, error) {
	object, err := decode(r.GetItem())
	if err != nil {
		return nil, err
	}
	related, err := action.RelatedItems(ctx, object, p.backup(r.GetBackup()))
	return &abi.RelatedItemsResponse{RelatedItems: toIdentifiers(related)}, err
}

var errNoOperations = errors.New("Plugin does not support asynchronous operations") //nolint:staticcheck // the text of the ABI

func (p *Plugin) backupProgress(ctx context.Context, action BackupItemAction, r *abi.OperationRequest) (*abi.ProgressResponse, error) {
	operations, ok := action.(BackupOperations)
	if !ok {
		return nil, errNoOperations
	}
	if r.GetOperationId() == "" {
		return nil, invalidOperation("")
	}
	progress, err := operations.BackupProgress(ctx, r.GetOperationId(), p.backup(r.GetOwner()))
	return toProgress(progress), err
}

func (p *Plugin) cancelBackup(ctx context.Context, action BackupItemAction, r *abi.OperationRequest) (*emptypb.Empty, error) {
	operations, ok := action.(BackupOperations)
	if !ok {
		return &emptypb.Empty{}, nil
	}
	return &emptypb.Empty{}, operations.CancelBackup(ctx, r.GetOperationId(), p.backup(r.GetOwner()))
}

func (p *Plugin) restoreProgress(ctx context.Context, action RestoreItemAction, r *abi.OperationRequest) (*abi.ProgressResponse, error) {
	operations, ok := action.(RestoreOperations)
	if !ok {
		return nil, errNoOperations
	}
	if r.GetOperationId() == "" {
		return nil, invalidOperation("")
	}
	progress, err := operations.RestoreProgress(ctx, r.GetOperationId(), p.restore(r.GetOwner()))
	return toProgress(progress), err
}

func (p *Plugin) cancelRestore(ctx context.Context, action RestoreItemAction, r *abi.OperationRequest) (*emptypb.Empty, error) {
	operations, ok := action.(RestoreOperations)
	if !ok {
		return &emptypb.Empty{}, nil
	}
	return &emptypb.Empty{}, operations.CancelRestore(ctx, r.GetOperationId(), p.restore(r.GetOwner()))
}

func (p *Plugin) itemsReady(ctx context.Context, action RestoreItemAction, r *abi.ItemsReadyRequest) (*abi.ItemsReadyResponse, error) {
	readiness, ok := action.(ItemsReadiness)
	if !ok {
		return &abi.ItemsReadyResponse{Ready: true}, nil
	}
	ready, err := readiness.ItemsReady(ctx, fromIdentifiers(r.GetAdditionalItems()), p.restore(r.GetRestore()))
	return &abi.ItemsReadyResponse{Ready: ready}, err
}

func (p *Plugin) backup(raw []byte) *Backup   { return &Backup{p.documents.get(raw)} }
func (p *Plugin) restore(raw []byte) *Restore { return &Restore{p.documents.get(raw)} }

func invalidOperation(id string) error { return fmt.Errorf("operation ID %s is invalid", id) }

// decode returns the item that Velero sent.
func decode(raw []byte) (*unstructured.Unstructured, error) {
	object, err := item.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("the item that Velero sent: %w", err)
	}
	if object.GetKind() == "" {
		return nil, errors.New("the item that Velero sent has no kind")
	}
	return object, nil
}

// encode returns the item as JSON: the bytes that Velero sent if the item is
// still what they say.
func encode(object *unstructured.Unstructured, unchanged item.Fingerprint, raw []byte) ([]byte, error) {
	if unchanged.Matches(object) {
		return raw, nil
	}
	if object.GetKind() == "" {
		return nil, errors.New("the plugin has removed the item's kind")
	}
	return item.Encode(object)
}

func toIdentifiers(in []ResourceIdentifier) []*abi.ResourceIdentifier {
	var out []*abi.ResourceIdentifier
	for _, id := range in {
		out = append(out, &abi.ResourceIdentifier{Group: id.Group, Resource: id.Resource, Namespace: id.Namespace, Name: id.Name})
	}
	return out
}

func fromIdentifiers(in []*abi.ResourceIdentifier) []ResourceIdentifier {
	var out []ResourceIdentifier
	for _, id := range in {
		out = append(out, ResourceIdentifier{Group: id.GetGroup(), Resource: id.GetResource(), Namespace: id.GetNamespace(), Name: id.GetName()})
	}
	return out
}

func toProgress(p Progress) *abi.ProgressResponse {
	return &abi.ProgressResponse{Progress: &abi.OperationProgress{
		Completed:      p.Completed,
		Err:            p.Err,
		NCompleted:     p.Done,
		NTotal:         p.Total,
		OperationUnits: p.Units,
		Description:    p.Description,
		Started:        toTimestamp(p.Started),
		Updated:        toTimestamp(p.Updated),
	}}
}

// toTimestamp returns nil for the zero time, which hosts read as not set.
func toTimestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
