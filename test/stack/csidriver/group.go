package csidriver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// GroupControllerGetCapabilities tells that there are group snapshots.
func (d *Driver) GroupControllerGetCapabilities(context.Context, *csi.GroupControllerGetCapabilitiesRequest) (*csi.GroupControllerGetCapabilitiesResponse, error) {
	return &csi.GroupControllerGetCapabilitiesResponse{Capabilities: []*csi.GroupControllerServiceCapability{{
		Type: &csi.GroupControllerServiceCapability_Rpc{Rpc: &csi.GroupControllerServiceCapability_RPC{
			Type: csi.GroupControllerServiceCapability_RPC_CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT,
		}},
	}}}, nil
}

// CreateVolumeGroupSnapshot copies several volumes, with no write between the
// copies.
func (d *Driver) CreateVolumeGroupSnapshot(ctx context.Context, request *csi.CreateVolumeGroupSnapshotRequest) (*csi.CreateVolumeGroupSnapshotResponse, error) {
	if request.GetName() == "" || len(request.GetSourceVolumeIds()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "the group snapshot has no name or no sources")
	}
	if err := d.failSnapshot(); err != nil {
		return nil, err
	}
	faults := d.currentFaults()
	g, cutNow, err := d.cutGroupOnce(request.GetName(), request.GetSourceVolumeIds(), faults)
	if err != nil {
		return nil, err
	}
	if err := g.cut.answer(ctx, faults, cutNow); err != nil {
		return nil, err
	}
	d.io.RLock()
	defer d.io.RUnlock()
	return &csi.CreateVolumeGroupSnapshotResponse{GroupSnapshot: d.describeGroup(g)}, nil
}

// cutGroupOnce returns the group of a name, and cuts its snapshots unless it is
// there.
func (d *Driver) cutGroupOnce(name string, volumes []string, faults Faults) (g *group, cutNow bool, err error) {
	d.io.Lock()
	defer d.io.Unlock()
	for _, g := range d.groups {
		if g.name != name {
			continue
		}
		if !slices.Equal(d.sources(g), slices.Sorted(slices.Values(volumes))) {
			return nil, false, status.Errorf(codes.AlreadyExists, "there is a group of other volumes with the name %s", name)
		}
		return g, false, nil
	}
	g = &group{id: newID("group"), name: name}
	for i, volume := range volumes {
		s, err := d.cut(fmt.Sprintf("%s-%d", name, i), volume)
		if err != nil {
			for _, id := range g.members {
				err = errors.Join(err, d.removeSnapshot(id))
			}
			return nil, false, err
		}
		s.group, g.cut = g.id, s
		g.members = append(g.members, s.id)
	}
	for _, id := range g.members {
		d.snapshots[id].stamp(faults)
	}
	d.groups[g.id] = g
	return g, true, nil
}

// sources lists the volumes of a group's snapshots, sorted.
func (d *Driver) sources(g *group) []string {
	var volumes []string
	for _, id := range g.members {
		if s := d.snapshots[id]; s != nil {
			volumes = append(volumes, s.volume)
		}
	}
	slices.Sort(volumes)
	return volumes
}

// GetVolumeGroupSnapshot tells what a group has.
func (d *Driver) GetVolumeGroupSnapshot(_ context.Context, request *csi.GetVolumeGroupSnapshotRequest) (*csi.GetVolumeGroupSnapshotResponse, error) {
	if request.GetGroupSnapshotId() == "" {
		return nil, status.Error(codes.InvalidArgument, "no group snapshot id")
	}
	d.io.RLock()
	defer d.io.RUnlock()
	g := d.groups[request.GetGroupSnapshotId()]
	if g == nil {
		return nil, status.Errorf(codes.NotFound, "there is no group snapshot %q", request.GetGroupSnapshotId())
	}
	return &csi.GetVolumeGroupSnapshotResponse{GroupSnapshot: d.describeGroup(g)}, nil
}

// DeleteVolumeGroupSnapshot removes a group with all its snapshots.
func (d *Driver) DeleteVolumeGroupSnapshot(_ context.Context, request *csi.DeleteVolumeGroupSnapshotRequest) (*csi.DeleteVolumeGroupSnapshotResponse, error) {
	if request.GetGroupSnapshotId() == "" {
		return nil, status.Error(codes.InvalidArgument, "no group snapshot id")
	}
	if err := d.failDeletion(); err != nil {
		return nil, err
	}
	d.io.Lock()
	defer d.io.Unlock()
	g := d.groups[request.GetGroupSnapshotId()]
	if g == nil {
		return &csi.DeleteVolumeGroupSnapshotResponse{}, nil
	}
	for _, id := range g.members {
		if err := d.removeSnapshot(id); err != nil {
			return nil, err
		}
	}
	delete(d.groups, g.id)
	return &csi.DeleteVolumeGroupSnapshotResponse{}, nil
}

// describeGroup leaves out members that were deleted or forgotten.
func (d *Driver) describeGroup(g *group) *csi.VolumeGroupSnapshot {
	described := &csi.VolumeGroupSnapshot{
		GroupSnapshotId: g.id, CreationTime: timestamppb.New(g.cut.cut), ReadyToUse: g.cut.isReady(),
	}
	for _, id := range g.members {
		if s := d.snapshots[id]; s != nil {
			described.Snapshots = append(described.Snapshots, s.describe())
		}
	}
	return described
}
