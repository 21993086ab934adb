package csidriver

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	defaultCapacity = 1 << 30
	maxCapacity     = 1 << 40
	// blockFile has the content of a volume in block mode, in the volume's folder.
	blockFile = "block"
)

// ControllerGetCapabilities lists what the controller service can do.
func (d *Driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	response := &csi.ControllerGetCapabilitiesResponse{}
	for _, rpc := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_LIST_VOLUMES,
		csi.ControllerServiceCapability_RPC_GET_CAPACITY,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		response.Capabilities = append(response.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: rpc}},
		})
	}
	return response, nil
}

// GetCapacity tells the size of the largest volume.
func (d *Driver) GetCapacity(context.Context, *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	return &csi.GetCapacityResponse{AvailableCapacity: maxCapacity}, nil
}

// CreateVolume makes a volume: empty, or with the data of a snapshot or of
// another volume.
func (d *Driver) CreateVolume(_ context.Context, request *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if request.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "the volume has no name")
	}
	if len(request.GetVolumeCapabilities()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "the volume has no capabilities")
	}
	capacity, err := capacityOf(request.GetCapacityRange())
	if err != nil {
		return nil, err
	}
	d.io.Lock()
	defer d.io.Unlock()
	for _, v := range d.volumes {
		if v.name != request.GetName() {
			continue
		}
		if v.capacity != capacity || !proto.Equal(v.source, request.GetVolumeContentSource()) {
			return nil, status.Errorf(codes.AlreadyExists, "there is another volume with the name %s", v.name)
		}
		return &csi.CreateVolumeResponse{Volume: d.describe(v)}, nil
	}
	v := &volume{
		id: newID("vol"), name: request.GetName(), capacity: capacity, source: request.GetVolumeContentSource(),
		block: slices.ContainsFunc(request.GetVolumeCapabilities(), func(c *csi.VolumeCapability) bool { return c.GetBlock() != nil }),
	}
	if err := d.fill(v); err != nil {
		return nil, err
	}
	d.volumes[v.id] = v
	return &csi.CreateVolumeResponse{Volume: d.describe(v)}, nil
}

// capacityOf is the size of a volume in bytes that is asked for with a range.
func capacityOf(asked *csi.CapacityRange) (int64, error) {
	capacity := max(asked.GetRequiredBytes(), 0)
	if capacity == 0 {
		capacity = defaultCapacity
		if limit := asked.GetLimitBytes(); limit > 0 {
			capacity = min(capacity, limit)
		}
	}
	if limit := asked.GetLimitBytes(); limit > 0 && capacity > limit || capacity > maxCapacity {
		return 0, status.Errorf(codes.OutOfRange, "no volume can have %d bytes", capacity)
	}
	return capacity, nil
}

// fill makes the folder of a new volume.
func (d *Driver) fill(v *volume) error {
	folder := d.VolumeFolder(v.id)
	from, err := d.sourceFolder(v)
	if err != nil {
		return err
	}
	if from == "" {
		err = os.Mkdir(folder, 0o755)
	} else {
		err = copyTree(from, folder)
	}
	if err == nil && v.block {
		err = resizeBlock(folder, v.capacity)
	}
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

// sourceFolder is the folder with the data that a new volume begins with, or "".
func (d *Driver) sourceFolder(v *volume) (string, error) {
	smallest, folder := int64(0), ""
	switch {
	case v.source.GetSnapshot() != nil:
		s := d.snapshots[v.source.GetSnapshot().GetSnapshotId()]
		if s == nil {
			return "", status.Errorf(codes.NotFound, "there is no snapshot %q", v.source.GetSnapshot().GetSnapshotId())
		}
		smallest, folder = s.capacity, d.SnapshotFolder(s.id)
	case v.source.GetVolume() != nil:
		other := d.volumes[v.source.GetVolume().GetVolumeId()]
		if other == nil {
			return "", status.Errorf(codes.NotFound, "there is no volume %q", v.source.GetVolume().GetVolumeId())
		}
		smallest, folder = other.capacity, d.VolumeFolder(other.id)
	}
	if v.capacity < smallest {
		return "", status.Errorf(codes.OutOfRange, "%d bytes are less than the %d of the source", v.capacity, smallest)
	}
	return folder, nil
}

// resizeBlock gives the content of a block volume its size.
func resizeBlock(folder string, capacity int64) error {
	file, err := os.OpenFile(filepath.Join(folder, blockFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(capacity), file.Close())
}

func (d *Driver) describe(v *volume) *csi.Volume {
	return &csi.Volume{VolumeId: v.id, CapacityBytes: v.capacity, ContentSource: v.source, AccessibleTopology: d.topology()}
}

// DeleteVolume removes a volume and its data.
func (d *Driver) DeleteVolume(_ context.Context, request *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if request.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "no volume id")
	}
	d.io.Lock()
	defer d.io.Unlock()
	if v := d.volumes[request.GetVolumeId()]; v != nil {
		if err := os.RemoveAll(d.VolumeFolder(v.id)); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		delete(d.volumes, v.id)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// ValidateVolumeCapabilities confirms what it is asked of a volume that exists.
func (d *Driver) ValidateVolumeCapabilities(_ context.Context, request *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if request.GetVolumeId() == "" || len(request.GetVolumeCapabilities()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "no volume id or no capabilities")
	}
	if _, err := d.volume(request.GetVolumeId()); err != nil {
		return nil, err
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeCapabilities: request.GetVolumeCapabilities(),
	}}, nil
}

func (d *Driver) volume(id string) (*volume, error) {
	d.io.RLock()
	defer d.io.RUnlock()
	v := d.volumes[id]
	if v == nil {
		return nil, status.Errorf(codes.NotFound, "there is no volume %q", id)
	}
	return v, nil
}

// ControllerExpandVolume makes a volume larger.
func (d *Driver) ControllerExpandVolume(_ context.Context, request *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	if request.GetVolumeId() == "" || request.GetCapacityRange() == nil {
		return nil, status.Error(codes.InvalidArgument, "no volume id or no capacity")
	}
	capacity, err := capacityOf(request.GetCapacityRange())
	if err != nil {
		return nil, err
	}
	d.io.Lock()
	defer d.io.Unlock()
	v := d.volumes[request.GetVolumeId()]
	if v == nil {
		return nil, status.Errorf(codes.NotFound, "there is no volume %q", request.GetVolumeId())
	}
	v.capacity = max(v.capacity, capacity)
	if v.block {
		if err := resizeBlock(d.VolumeFolder(v.id), v.capacity); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: v.capacity}, nil
}

// ListVolumes lists the volumes in pages.
func (d *Driver) ListVolumes(_ context.Context, request *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	d.io.RLock()
	defer d.io.RUnlock()
	ids, next, err := page(slices.Sorted(maps.Keys(d.volumes)), request.GetStartingToken(), request.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	response := &csi.ListVolumesResponse{NextToken: next}
	for _, id := range ids {
		response.Entries = append(response.Entries, &csi.ListVolumesResponse_Entry{Volume: d.describe(d.volumes[id])})
	}
	return response, nil
}

// tokenPrefix begins the token of a page, which names the last id of the page
// before it: "after-vol-7kq2".
const tokenPrefix = "after-"

// page cuts a page out of sorted ids and returns the token of the next one.
func page(ids []string, token string, size int32) ([]string, string, error) {
	if token != "" {
		last, ok := strings.CutPrefix(token, tokenPrefix)
		if !ok {
			return nil, "", status.Errorf(codes.Aborted, "the token %q is none of this driver", token)
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return id <= last })
	}
	if n := int(size); n > 0 && n < len(ids) {
		return ids[:n], tokenPrefix + ids[n-1], nil
	}
	return ids, "", nil
}

// CreateSnapshot copies the data of a volume.
func (d *Driver) CreateSnapshot(ctx context.Context, request *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	if request.GetName() == "" || request.GetSourceVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "the snapshot has no name or no source")
	}
	if err := d.failSnapshot(); err != nil {
		return nil, err
	}
	faults := d.currentFaults()
	s, cutNow, err := d.cutOnce(request.GetName(), request.GetSourceVolumeId(), faults)
	if err != nil {
		return nil, err
	}
	if err := s.answer(ctx, faults, cutNow); err != nil {
		return nil, err
	}
	return &csi.CreateSnapshotResponse{Snapshot: s.describe()}, nil
}

// cutOnce returns the snapshot of a name, and cuts it unless it is there.
func (d *Driver) cutOnce(name, volume string, faults Faults) (s *snapshot, cutNow bool, err error) {
	d.io.Lock()
	defer d.io.Unlock()
	for _, s := range d.snapshots {
		if s.name != name {
			continue
		}
		if s.volume != volume {
			return nil, false, status.Errorf(codes.AlreadyExists, "there is a snapshot of another volume with the name %s", name)
		}
		return s, false, nil
	}
	s, err = d.cut(name, volume)
	if err != nil {
		return nil, false, err
	}
	s.stamp(faults)
	return s, true, nil
}

// cut copies a volume. The caller holds d.io.
func (d *Driver) cut(name, volume string) (*snapshot, error) {
	v := d.volumes[volume]
	if v == nil {
		return nil, status.Errorf(codes.NotFound, "there is no volume %q", volume)
	}
	s := &snapshot{id: newID("snap"), name: name, volume: v.id, capacity: v.capacity, block: v.block}
	if err := copyTree(d.VolumeFolder(v.id), d.SnapshotFolder(s.id)); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	d.snapshots[s.id] = s
	return s, nil
}

func (s *snapshot) describe() *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId: s.id, SourceVolumeId: s.volume, SizeBytes: s.capacity, GroupSnapshotId: s.group,
		CreationTime: timestamppb.New(s.cut), ReadyToUse: s.isReady(),
	}
}

func (s *snapshot) isReady() bool { return !time.Now().Before(s.ready) }

// DeleteSnapshot removes a snapshot and its data.
func (d *Driver) DeleteSnapshot(_ context.Context, request *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	if request.GetSnapshotId() == "" {
		return nil, status.Error(codes.InvalidArgument, "no snapshot id")
	}
	if err := d.failDeletion(); err != nil {
		return nil, err
	}
	refuse := d.currentFaults().RefuseMemberDeletion
	d.io.Lock()
	defer d.io.Unlock()
	s := d.snapshots[request.GetSnapshotId()]
	if s == nil {
		return &csi.DeleteSnapshotResponse{}, nil
	}
	if refuse && s.group != "" {
		return nil, status.Errorf(codes.InvalidArgument, "the snapshot %s can only be deleted with its group %s", s.id, s.group)
	}
	return &csi.DeleteSnapshotResponse{}, d.removeSnapshot(s.id)
}

// ListSnapshots lists the snapshots in pages: all, one, or those of a volume.
func (d *Driver) ListSnapshots(_ context.Context, request *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	if secret := d.currentFaults().ListSecret; secret != "" && request.GetSecrets()["token"] != secret {
		return nil, status.Error(codes.InvalidArgument, "the list of snapshots needs a secret, which the request does not have")
	}
	d.io.RLock()
	defer d.io.RUnlock()
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(d.snapshots)), func(id string) bool {
		return request.GetSnapshotId() != "" && request.GetSnapshotId() != id ||
			request.GetSourceVolumeId() != "" && request.GetSourceVolumeId() != d.snapshots[id].volume
	})
	ids, next, err := page(ids, request.GetStartingToken(), request.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	response := &csi.ListSnapshotsResponse{NextToken: next}
	for _, id := range ids {
		response.Entries = append(response.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: d.snapshots[id].describe()})
	}
	return response, nil
}
