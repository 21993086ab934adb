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
			method(s, p.volumeSnapshotters, "GetVolumeInfo", volumeInfo),
			method(s, p.volumeSnapshotters, "CreateSnapshot", createSnapshot),
			method(s, p.volumeSnapshotters, "DeleteSnapshot", deleteSnapshot),
			method(s, p.volumeSnapshotters, "GetVolumeID", volumeID),
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
	if err := p.constructAll(); err != nil {
		return nil, err
	}
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
		if action, err := p.backupItemActions.find(name); err != nil || needsBackupV2(action) {
			add(kindBackupItemActionV2, name)
		} else {
			add(kindBackupItemAction, name)
		}
	}
	for _, name := range p.restoreItemActions.names() {
		if action, err := p.restoreItemActions.find(name); err != nil || needsRestoreV2(action) {
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

// constructAll constructs every implementation when the server starts, so that
// it does not start with a plugin whose abilities it would not see.
//
// Other errors of constructors may pass and are only logged: the call that needs
// the value tries again. Until then nobody knows which abilities an action has,
// so it is listed under version 2, which loses none.
func (p *Plugin) constructAll() error {
	var problems []error
	try := func(err error) {
		if errors.As(err, new(abilityError)) {
			problems = append(problems, err)
		} else if err != nil {
			p.log.Error("an implementation cannot be constructed yet", "error", err)
		}
	}
	constructEach(p.objectStores, try)
	constructEach(p.volumeSnapshotters, try)
	constructEach(p.backupItemActions, try)
	constructEach(p.restoreItemActions, try)
	constructEach(p.deleteItemActions, try)
	constructEach(p.itemBlockActions, try)
	return errors.Join(problems...)
}

func constructEach[T any](r registry[T], report func(error)) {
	for _, name := range r.names() {
		_, err := r.find(name)
		report(err)
	}
}

func needsBackupV2(action BackupItemAction) bool {
	_, operations := action.(BackupOperations)
	return operations
}

func needsRestoreV2(action RestoreItemAction) bool {
	_, operations := action.(RestoreOperations)
	_, readiness := action.(ItemsReadiness)
	return operations || readiness
}

type initializer interface {
	Init(context.Context, InitInput) (InitResult, error)
}

func initStore[T initializer](ctx context.Context, t T, r *abi.InitRequest) (*abi.Empty, error) {
	config := r.GetConfig()
	if config == nil {
		config = map[string]string{}
	}
	_, err := t.Init(ctx, InitInput{Config: config})
	return &abi.Empty{}, err
}

func (p *Plugin) putObject(ctx context.Context, first *server.Chunk, body io.Reader) error {
	store, err := p.objectStores.find(first.Plugin)
	if err != nil {
		return err
	}
	_, err = store.PutObject(ctx, PutObjectInput{Bucket: first.Bucket, Key: first.Key, Body: body})
	return err
}

func (p *Plugin) getObject(ctx context.Context, r *abi.ObjectRequest) (io.ReadCloser, error) {
	store, err := p.objectStores.find(r.GetPlugin())
	if err != nil {
		return nil, err
	}
	result, err := store.GetObject(ctx, GetObjectInput{Bucket: r.GetBucket(), Key: r.GetKey()})
	if err == nil && result.Body == nil {
		err = fmt.Errorf("%s has returned neither the body of object %s nor an error", r.GetPlugin(), r.GetKey())
	}
	return result.Body, err
}

func objectExists(ctx context.Context, store ObjectStore, r *abi.ObjectRequest) (*abi.ObjectExistsResponse, error) {
	result, err := store.ObjectExists(ctx, ObjectExistsInput{Bucket: r.GetBucket(), Key: r.GetKey()})
	return &abi.ObjectExistsResponse{Exists: result.Exists}, err
}

func listCommonPrefixes(ctx context.Context, store ObjectStore, r *abi.ListCommonPrefixesRequest) (*abi.ListCommonPrefixesResponse, error) {
	result, err := store.ListCommonPrefixes(ctx, ListCommonPrefixesInput{Bucket: r.GetBucket(), Prefix: r.GetPrefix(), Delimiter: r.GetDelimiter()})
	return &abi.ListCommonPrefixesResponse{Prefixes: result.Prefixes}, err
}

func listObjects(ctx context.Context, store ObjectStore, r *abi.ListObjectsRequest) (*abi.ListObjectsResponse, error) {
	result, err := store.ListObjects(ctx, ListObjectsInput{Bucket: r.GetBucket(), Prefix: r.GetPrefix()})
	return &abi.ListObjectsResponse{Keys: result.Keys}, err
}

func deleteObject(ctx context.Context, store ObjectStore, r *abi.ObjectRequest) (*abi.Empty, error) {
	_, err := store.DeleteObject(ctx, DeleteObjectInput{Bucket: r.GetBucket(), Key: r.GetKey()})
	return &abi.Empty{}, err
}

func createSignedURL(ctx context.Context, store ObjectStore, r *abi.CreateSignedURLRequest) (*abi.CreateSignedURLResponse, error) {
	result, err := store.CreateSignedURL(ctx, CreateSignedURLInput{Bucket: r.GetBucket(), Key: r.GetKey(), TTL: time.Duration(r.GetTtl())})
	return &abi.CreateSignedURLResponse{Url: result.URL}, err
}

func createVolume(ctx context.Context, v VolumeSnapshotter, r *abi.CreateVolumeRequest) (*abi.CreateVolumeResponse, error) {
	result, err := v.CreateVolume(ctx, CreateVolumeInput{
		SnapshotID: r.GetSnapshotId(), VolumeType: r.GetVolumeType(), Zone: r.GetVolumeAz(), IOPS: r.GetIops(),
	})
	return &abi.CreateVolumeResponse{VolumeId: result.VolumeID}, err
}

func volumeInfo(ctx context.Context, v VolumeSnapshotter, r *abi.GetVolumeInfoRequest) (*abi.GetVolumeInfoResponse, error) {
	result, err := v.VolumeInfo(ctx, VolumeInfoInput{VolumeID: r.GetVolumeId(), Zone: r.GetVolumeAz()})
	return &abi.GetVolumeInfoResponse{VolumeType: result.VolumeType, Iops: result.IOPS}, err
}

func createSnapshot(ctx context.Context, v VolumeSnapshotter, r *abi.CreateSnapshotRequest) (*abi.CreateSnapshotResponse, error) {
	result, err := v.CreateSnapshot(ctx, CreateSnapshotInput{VolumeID: r.GetVolumeId(), Zone: r.GetVolumeAz(), Tags: r.GetTags()})
	return &abi.CreateSnapshotResponse{SnapshotId: result.SnapshotID}, err
}

func deleteSnapshot(ctx context.Context, v VolumeSnapshotter, r *abi.DeleteSnapshotRequest) (*abi.Empty, error) {
	_, err := v.DeleteSnapshot(ctx, DeleteSnapshotInput{SnapshotID: r.GetSnapshotId()})
	return &abi.Empty{}, err
}

func volumeID(ctx context.Context, v VolumeSnapshotter, r *abi.GetVolumeIDRequest) (*abi.GetVolumeIDResponse, error) {
	pv, err := item.Decode(r.GetPersistentVolume())
	if err != nil {
		return nil, fmt.Errorf("the persistent volume that Velero sent: %w", err)
	}
	result, err := v.VolumeID(ctx, VolumeIDInput{PersistentVolume: pv})
	return &abi.GetVolumeIDResponse{VolumeId: result.VolumeID}, err
}

func setVolumeID(ctx context.Context, v VolumeSnapshotter, r *abi.SetVolumeIDRequest) (*abi.SetVolumeIDResponse, error) {
	pv, err := item.Decode(r.GetPersistentVolume())
	if err != nil {
		return nil, fmt.Errorf("the persistent volume that Velero sent: %w", err)
	}
	unchanged := item.NewFingerprint(pv)
	if _, err := v.SetVolumeID(ctx, SetVolumeIDInput{PersistentVolume: pv, VolumeID: r.GetVolumeId()}); err != nil {
		return nil, err
	}
	raw, err := encode(pv, unchanged, r.GetPersistentVolume())
	return &abi.SetVolumeIDResponse{PersistentVolume: raw}, err
}

func appliesTo[T Applier](ctx context.Context, action T, _ *abi.AppliesToRequest) (*abi.AppliesToResponse, error) {
	selector, err := action.AppliesTo(ctx, AppliesToInput{})
	return &abi.AppliesToResponse{ResourceSelector: &abi.ResourceSelector{
		IncludedNamespaces: selector.IncludedNamespaces,
		ExcludedNamespaces: selector.ExcludedNamespaces,
		IncludedResources:  selector.IncludedResources,
		ExcludedResources:  selector.ExcludedResources,
		Selector:           selector.LabelSelector,
	}}, err
}

func (p *Plugin) backupItem(ctx context.Context, action BackupItemAction, r *abi.BackupItemRequest) (*abi.BackupItemResponse, error) {
	object, backup, err := p.itemOfBackup(r)
	if err != nil {
		return nil, err
	}
	unchanged := item.NewFingerprint(object)
	result, err := action.Backup(ctx, BackupInput{Item: object, Backup: backup})
	if err != nil {
		return nil, err
	}
	if err := checkBackup(r.GetPlugin(), needsBackupV2(action), result); err != nil {
		return nil, err
	}
	raw, err := encode(object, unchanged, r.GetItem())
	return &abi.BackupItemResponse{
		Item:               raw,
		AdditionalItems:    toIdentifiers(result.AdditionalItems),
		OperationId:        result.OperationID,
		PostOperationItems: toIdentifiers(result.PostOperationItems),
	}, err
}

// checkBackup returns an error for a result that Velero would drop a part of.
func checkBackup(name string, operations bool, result BackupResult) error {
	switch {
	case result.OperationID != "" && !operations:
		return fmt.Errorf("%s has begun the operation %s but is not an sdk.BackupOperations, so Velero could not ask for its progress", name, result.OperationID)
	case result.OperationID == "" && len(result.PostOperationItems) > 0:
		return fmt.Errorf("%s has returned PostOperationItems without an OperationID, so Velero would never back them up", name)
	}
	return nil
}

func (p *Plugin) restoreItem(ctx context.Context, action RestoreItemAction, r *abi.RestoreItemRequest) (*abi.RestoreItemResponse, error) {
	object, err := decode(r.GetItem())
	if err != nil {
		return nil, err
	}
	restore, err := p.restore(r.GetRestore())
	if err != nil {
		return nil, err
	}
	unchanged := item.NewFingerprint(object)
	result, err := action.Restore(ctx, RestoreInput{
		Item:       object,
		FromBackup: NewDocument(r.GetItemFromBackup()),
		Restore:    restore,
	})
	if err != nil {
		return nil, err
	}
	if _, ok := action.(RestoreOperations); !ok && result.OperationID != "" {
		return nil, fmt.Errorf("%s has begun the operation %s but is not an sdk.RestoreOperations, so Velero could not ask for its progress", r.GetPlugin(), result.OperationID)
	}
	if result.WaitForAdditionalItems && !needsRestoreV2(action) {
		return nil, fmt.Errorf("%s waits for additional items but is not an sdk.ItemsReadiness, so Velero would not wait", r.GetPlugin())
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
	object, backup, err := p.itemOfBackup(r)
	if err != nil {
		return nil, err
	}
	_, err = action.Delete(ctx, DeleteInput{Item: object, Backup: backup})
	return &abi.Empty{}, err
}

func (p *Plugin) relatedItems(ctx context.Context, action ItemBlockAction, r *abi.BackupItemRequest) (*abi.RelatedItemsResponse, error) {
	object, backup, err := p.itemOfBackup(r)
	if err != nil {
		return nil, err
	}
	result, err := action.RelatedItems(ctx, RelatedItemsInput{Item: object, Backup: backup})
	return &abi.RelatedItemsResponse{RelatedItems: toIdentifiers(result.Items)}, err
}

var errNoOperations = errors.New("Plugin does not support asynchronous operations") //nolint:staticcheck // the text of the ABI

func (p *Plugin) backupProgress(ctx context.Context, action BackupItemAction, r *abi.OperationRequest) (*abi.ProgressResponse, error) {
	operations, ok := action.(BackupOperations)
	if !ok {
		return nil, errNoOperations
	}
	in, err := p.backupOperation(r)
	if err != nil {
		return nil, err
	}
	progress, err := operations.BackupProgress(ctx, in)
	return toProgress(progress), err
}

func (p *Plugin) cancelBackup(ctx context.Context, action BackupItemAction, r *abi.OperationRequest) (*emptypb.Empty, error) {
	operations, ok := action.(BackupOperations)
	if !ok {
		return &emptypb.Empty{}, nil
	}
	in, err := p.backupOperation(r)
	if err != nil {
		return nil, err
	}
	_, err = operations.CancelBackup(ctx, in)
	return &emptypb.Empty{}, err
}

func (p *Plugin) backupOperation(r *abi.OperationRequest) (BackupOperation, error) {
	if r.GetOperationId() == "" {
		return BackupOperation{}, invalidOperation("")
	}
	backup, err := p.backup(r.GetOwner())
	return BackupOperation{ID: r.GetOperationId(), Backup: backup}, err
}

func (p *Plugin) restoreProgress(ctx context.Context, action RestoreItemAction, r *abi.OperationRequest) (*abi.ProgressResponse, error) {
	operations, ok := action.(RestoreOperations)
	if !ok {
		return nil, errNoOperations
	}
	in, err := p.restoreOperation(r)
	if err != nil {
		return nil, err
	}
	progress, err := operations.RestoreProgress(ctx, in)
	return toProgress(progress), err
}

func (p *Plugin) cancelRestore(ctx context.Context, action RestoreItemAction, r *abi.OperationRequest) (*emptypb.Empty, error) {
	operations, ok := action.(RestoreOperations)
	if !ok {
		return &emptypb.Empty{}, nil
	}
	in, err := p.restoreOperation(r)
	if err != nil {
		return nil, err
	}
	_, err = operations.CancelRestore(ctx, in)
	return &emptypb.Empty{}, err
}

func (p *Plugin) restoreOperation(r *abi.OperationRequest) (RestoreOperation, error) {
	if r.GetOperationId() == "" {
		return RestoreOperation{}, invalidOperation("")
	}
	restore, err := p.restore(r.GetOwner())
	return RestoreOperation{ID: r.GetOperationId(), Restore: restore}, err
}

func (p *Plugin) itemsReady(ctx context.Context, action RestoreItemAction, r *abi.ItemsReadyRequest) (*abi.ItemsReadyResponse, error) {
	readiness, ok := action.(ItemsReadiness)
	if !ok {
		return &abi.ItemsReadyResponse{Ready: true}, nil
	}
	restore, err := p.restore(r.GetRestore())
	if err != nil {
		return nil, err
	}
	result, err := readiness.ItemsReady(ctx, ItemsReadyInput{Items: fromIdentifiers(r.GetAdditionalItems()), Restore: restore})
	return &abi.ItemsReadyResponse{Ready: result.Ready}, err
}

// itemOfBackup returns the item and the Backup of a request.
func (p *Plugin) itemOfBackup(r *abi.BackupItemRequest) (*unstructured.Unstructured, Backup, error) {
	object, err := decode(r.GetItem())
	if err != nil {
		return nil, Backup{}, err
	}
	backup, err := p.backup(r.GetBackup())
	return object, backup, err
}

func (p *Plugin) backup(raw []byte) (Backup, error) {
	b := Backup{resource{p.documents.get(raw)}}
	return b, b.check("Backup")
}

func (p *Plugin) restore(raw []byte) (Restore, error) {
	r := Restore{resource{p.documents.get(raw)}}
	return r, r.check("Restore")
}

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
