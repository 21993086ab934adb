package plugintest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// dirSnapshotter is a sound volume snapshotter: its volumes and snapshots are
// files in a folder, so that they outlive the process.
type dirSnapshotter struct{ root atomic.Pointer[string] }

const driver = "fs.example.io"

func (s *dirSnapshotter) Init(_ context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	for key := range in.Config {
		if !slices.Contains([]string{"root", "zone"}, key) {
			return sdk.InitResult{}, fmt.Errorf("config has the unknown key %s", key)
		}
	}
	root := in.Config["root"]
	s.root.Store(&root)
	return sdk.InitResult{}, nil
}

func (s *dirSnapshotter) file(kind, id string) (string, error) {
	root := s.root.Load()
	if root == nil {
		return "", errors.New("the snapshotter is not initialized")
	}
	return filepath.Join(*root, kind, filepath.Base(id)), nil
}

// create makes a file with an id of its own.
func (s *dirSnapshotter) create(kind, content string) (string, error) {
	id := kind + "-" + strconv.FormatInt(time.Now().UnixNano(), 10)
	file, err := s.file(kind, id)
	if err != nil {
		return "", err
	}
	return id, os.WriteFile(file, []byte(content), 0o600)
}

func (s *dirSnapshotter) read(kind, id string) (string, error) {
	file, err := s.file(kind, id)
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(file)
	return string(content), err
}

func (s *dirSnapshotter) CreateVolume(_ context.Context, in sdk.CreateVolumeInput) (sdk.CreateVolumeResult, error) {
	if in.Zone == "" {
		return sdk.CreateVolumeResult{}, errors.New("the zone is missing")
	}
	if _, err := s.read("snapshots", in.SnapshotID); err != nil {
		return sdk.CreateVolumeResult{}, err
	}
	id, err := s.create("volumes", in.VolumeType)
	return sdk.CreateVolumeResult{VolumeID: id}, err
}

func (s *dirSnapshotter) VolumeInfo(_ context.Context, in sdk.VolumeInfoInput) (sdk.VolumeInfoResult, error) {
	volumeType, err := s.read("volumes", in.VolumeID)
	return sdk.VolumeInfoResult{VolumeType: volumeType, IOPS: 0}, err
}

func (s *dirSnapshotter) CreateSnapshot(_ context.Context, in sdk.CreateSnapshotInput) (sdk.CreateSnapshotResult, error) {
	if _, err := s.read("volumes", in.VolumeID); err != nil {
		return sdk.CreateSnapshotResult{}, err
	}
	id, err := s.create("snapshots", in.VolumeID)
	return sdk.CreateSnapshotResult{SnapshotID: id}, err
}

func (s *dirSnapshotter) DeleteSnapshot(_ context.Context, in sdk.DeleteSnapshotInput) (sdk.DeleteSnapshotResult, error) {
	file, err := s.file("snapshots", in.SnapshotID)
	if err != nil || in.SnapshotID == "" {
		return sdk.DeleteSnapshotResult{}, err
	}
	if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
		return sdk.DeleteSnapshotResult{}, err
	}
	return sdk.DeleteSnapshotResult{}, nil
}

func (s *dirSnapshotter) VolumeID(_ context.Context, in sdk.VolumeIDInput) (sdk.VolumeIDResult, error) {
	csi, _, err := unstructured.NestedMap(in.PersistentVolume.Object, "spec", "csi")
	if err != nil || csi["driver"] != driver {
		return sdk.VolumeIDResult{}, err
	}
	id, _, err := unstructured.NestedString(csi, "volumeHandle")
	return sdk.VolumeIDResult{VolumeID: id}, err
}

func (s *dirSnapshotter) SetVolumeID(_ context.Context, in sdk.SetVolumeIDInput) (sdk.SetVolumeIDResult, error) {
	if name, _, err := unstructured.NestedString(in.PersistentVolume.Object, "spec", "csi", "driver"); err != nil || name != driver {
		return sdk.SetVolumeIDResult{}, fmt.Errorf("the driver %q is not that of this snapshotter, %w", name, err)
	}
	return sdk.SetVolumeIDResult{}, unstructured.SetNestedField(in.PersistentVolume.Object, in.VolumeID, "spec", "csi", "volumeHandle")
}

// faultySnapshotter is a snapshotter with one fault.
type faultySnapshotter struct {
	*dirSnapshotter
	fault string

	mu     sync.Mutex
	leaked []*os.File // kept from the garbage collector, which would close them
}

func (s *faultySnapshotter) Init(ctx context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	switch s.fault {
	case "accepts unknown keys":
		root := in.Config["root"]
		s.root.Store(&root)
		return sdk.InitResult{}, nil
	case "forgets its configuration during Init":
		s.root.Store(nil)
		time.Sleep(time.Millisecond)
	case "opens a file at each Init":
		f, err := os.Open(os.DevNull)
		must(err)
		s.mu.Lock()
		s.leaked = append(s.leaked, f)
		s.mu.Unlock()
	}
	return s.dirSnapshotter.Init(ctx, in)
}

func (s *faultySnapshotter) CreateVolume(ctx context.Context, in sdk.CreateVolumeInput) (sdk.CreateVolumeResult, error) {
	switch s.fault {
	case "divides by the IOPS":
		return s.dirSnapshotter.CreateVolume(ctx, sdk.CreateVolumeInput{SnapshotID: in.SnapshotID, VolumeType: in.VolumeType, Zone: in.Zone, IOPS: 1000 / in.IOPS})
	case "makes volumes of one type":
		in.VolumeType = "slow"
	case "makes nothing without a zone":
		if in.Zone == "" {
			return sdk.CreateVolumeResult{}, nil
		}
	}
	return s.dirSnapshotter.CreateVolume(ctx, in)
}

func (s *faultySnapshotter) VolumeInfo(ctx context.Context, in sdk.VolumeInfoInput) (sdk.VolumeInfoResult, error) {
	info, err := s.dirSnapshotter.VolumeInfo(ctx, in)
	if s.fault == "knows all volumes" {
		return sdk.VolumeInfoResult{VolumeType: "fast", IOPS: 0}, nil
	}
	return sdk.VolumeInfoResult{VolumeType: info.VolumeType, IOPS: info.IOPS}, err
}

func (s *faultySnapshotter) CreateSnapshot(ctx context.Context, in sdk.CreateSnapshotInput) (sdk.CreateSnapshotResult, error) {
	switch {
	case s.fault == "takes snapshots before Init" && s.root.Load() == nil:
		return sdk.CreateSnapshotResult{SnapshotID: "snapshot-1"}, nil
	case s.fault == "gives no id":
		return sdk.CreateSnapshotResult{}, nil
	case s.fault == "gives one id":
		return sdk.CreateSnapshotResult{SnapshotID: "snapshot-1"}, nil
	case s.fault == "refuses many tags" && len(in.Tags) > 50:
		return sdk.CreateSnapshotResult{}, errors.New("more than 50 tags")
	}
	return s.dirSnapshotter.CreateSnapshot(ctx, in)
}

func (s *faultySnapshotter) DeleteSnapshot(ctx context.Context, in sdk.DeleteSnapshotInput) (sdk.DeleteSnapshotResult, error) {
	switch s.fault {
	case "deletes no absent snapshots":
		_, absent := s.read("snapshots", in.SnapshotID)
		result, err := s.dirSnapshotter.DeleteSnapshot(ctx, in)
		return result, errors.Join(absent, err)
	case "deletes nothing without an id":
		if in.SnapshotID == "" {
			return sdk.DeleteSnapshotResult{}, errors.New("the id is missing")
		}
	}
	return s.dirSnapshotter.DeleteSnapshot(ctx, in)
}

func (s *faultySnapshotter) VolumeID(ctx context.Context, in sdk.VolumeIDInput) (sdk.VolumeIDResult, error) {
	found, err := s.dirSnapshotter.VolumeID(ctx, in)
	root := s.root.Load()
	switch s.fault {
	case "forgets its configuration during Init":
		if root == nil {
			return sdk.VolumeIDResult{}, errors.New("the snapshotter is not initialized")
		}
	case "accepts unknown keys":
		return sdk.VolumeIDResult{VolumeID: found.VolumeID}, err
	case "refuses volumes of others":
		if found.VolumeID == "" {
			return sdk.VolumeIDResult{}, errors.New("the volume is not on this disk")
		}
	case "trusts its objects":
		return sdk.VolumeIDResult{VolumeID: in.PersistentVolume.Object["spec"].(map[string]any)["csi"].(map[string]any)["volumeHandle"].(string)}, nil
	case "gives the id of another volume":
		return sdk.VolumeIDResult{VolumeID: found.VolumeID + "0"}, err
	}
	return sdk.VolumeIDResult{VolumeID: found.VolumeID}, err
}

func (s *faultySnapshotter) SetVolumeID(ctx context.Context, in sdk.SetVolumeIDInput) (sdk.SetVolumeIDResult, error) {
	switch s.fault {
	case "keeps the old id":
		return sdk.SetVolumeIDResult{}, nil
	case "drops unknown fields":
		spec := in.PersistentVolume.Object["spec"].(map[string]any)
		delete(spec, "xPlugintest")
	case "returns a part of the volume":
		in.PersistentVolume.Object = map[string]any{"kind": "PersistentVolume", "spec": in.PersistentVolume.Object["spec"]}
	}
	return s.dirSnapshotter.SetVolumeID(ctx, in)
}

var _ sdk.VolumeSnapshotter = (*faultySnapshotter)(nil)
