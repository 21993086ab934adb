package wire

import (
	"context"

	"google.golang.org/grpc"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
)

// Snapshotter calls a volume snapshotter.
type Snapshotter struct {
	Conn grpc.ClientConnInterface
	Name string
}

func (s Snapshotter) Init(ctx context.Context, config map[string]string) error {
	return s.call(ctx, "Init", &abi.InitRequest{Plugin: s.Name, Config: config}, &abi.Empty{})
}

func (s Snapshotter) VolumeID(ctx context.Context, pv []byte) (string, error) {
	out := &abi.GetVolumeIDResponse{}
	err := s.call(ctx, "GetVolumeID", &abi.GetVolumeIDRequest{Plugin: s.Name, PersistentVolume: pv}, out)
	return out.GetVolumeId(), err
}

// SetVolumeID returns the persistent volume as the plugin has changed it.
func (s Snapshotter) SetVolumeID(ctx context.Context, pv []byte, id string) ([]byte, error) {
	out := &abi.SetVolumeIDResponse{}
	err := s.call(ctx, "SetVolumeID", &abi.SetVolumeIDRequest{Plugin: s.Name, PersistentVolume: pv, VolumeId: id}, out)
	return out.GetPersistentVolume(), err
}

func (s Snapshotter) VolumeInfo(ctx context.Context, id, zone string) (volumeType string, iops int64, err error) {
	out := &abi.GetVolumeInfoResponse{}
	err = s.call(ctx, "GetVolumeInfo", &abi.GetVolumeInfoRequest{Plugin: s.Name, VolumeId: id, VolumeAz: zone}, out)
	return out.GetVolumeType(), out.GetIops(), err
}

func (s Snapshotter) Create(ctx context.Context, volume, zone string, tags map[string]string) (string, error) {
	out := &abi.CreateSnapshotResponse{}
	err := s.call(ctx, "CreateSnapshot", &abi.CreateSnapshotRequest{Plugin: s.Name, VolumeId: volume, VolumeAz: zone, Tags: tags}, out)
	return out.GetSnapshotId(), err
}

func (s Snapshotter) Delete(ctx context.Context, snapshot string) error {
	return s.call(ctx, "DeleteSnapshot", &abi.DeleteSnapshotRequest{Plugin: s.Name, SnapshotId: snapshot}, &abi.Empty{})
}

// CreateVolume makes a volume of a snapshot. An empty zone and 0 IOPS are left
// to the plugin.
func (s Snapshotter) CreateVolume(ctx context.Context, snapshot, volumeType, zone string, iops int64) (string, error) {
	out := &abi.CreateVolumeResponse{}
	err := s.call(ctx, "CreateVolumeFromSnapshot", &abi.CreateVolumeRequest{
		Plugin: s.Name, SnapshotId: snapshot, VolumeType: volumeType, VolumeAz: zone, Iops: iops}, out)
	return out.GetVolumeId(), err
}

func (s Snapshotter) call(ctx context.Context, method string, in, out any) error {
	return s.Conn.Invoke(ctx, VolumeSnapshotter.method(method), in, out)
}
