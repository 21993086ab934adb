package csidriver

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// defaultNode is the node's id where volumes are reachable from everywhere.
const defaultNode = "node"

// NodeGetInfo tells which node this is.
func (d *Driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	response := &csi.NodeGetInfoResponse{NodeId: defaultNode}
	if d.options.Node != "" {
		response.NodeId, response.AccessibleTopology = d.options.Node, d.topology()[0]
	}
	return response, nil
}

// NodeGetCapabilities lists what the node service can do.
func (d *Driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{Capabilities: []*csi.NodeServiceCapability{{
		Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{
			Type: csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
		}},
	}}}, nil
}

// NodePublishVolume makes the target path a symbolic link to the volume's folder,
// since mounts would need root.
func (d *Driver) NodePublishVolume(_ context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	target := request.GetTargetPath()
	if request.GetVolumeId() == "" || target == "" || request.GetVolumeCapability() == nil {
		return nil, status.Error(codes.InvalidArgument, "no volume id, target path or capability")
	}
	d.io.Lock()
	defer d.io.Unlock()
	v := d.volumes[request.GetVolumeId()]
	if v == nil {
		return nil, status.Errorf(codes.NotFound, "there is no volume %q", request.GetVolumeId())
	}
	if slices.Contains(v.targets, target) && exists(target) {
		return &csi.NodePublishVolumeResponse{}, nil
	}
	mode := request.GetVolumeCapability().GetAccessMode().GetMode()
	if mode == csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER && len(v.targets) > 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "the volume %s is published at %s", v.id, v.targets[0])
	}
	if err := os.Symlink(d.VolumeFolder(v.id), target); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	v.targets = append(v.targets, target)
	return &csi.NodePublishVolumeResponse{}, nil
}

// NodeUnpublishVolume removes the link.
func (d *Driver) NodeUnpublishVolume(_ context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	target := request.GetTargetPath()
	if request.GetVolumeId() == "" || target == "" {
		return nil, status.Error(codes.InvalidArgument, "no volume id or target path")
	}
	d.io.Lock()
	defer d.io.Unlock()
	v := d.volumes[request.GetVolumeId()]
	if v == nil {
		return nil, status.Errorf(codes.NotFound, "there is no volume %q", request.GetVolumeId())
	}
	if i := slices.Index(v.targets, target); i >= 0 {
		if err := os.Remove(target); err != nil && exists(target) {
			return nil, status.Error(codes.Internal, err.Error())
		}
		v.targets = slices.Delete(v.targets, i, i+1)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// exists reports whether there is a file or folder at a path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
