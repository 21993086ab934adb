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

func (s *dirSnapshotter) Init(_ context.Context, config map[string]string) error {
	for key := range config {
		if !slices.Contains([]string{"root", "zone"}, key) {
			return fmt.Errorf("config has the unknown key %s", key)
		}
	}
	root := config["root"]
	s.root.Store(&root)
	return nil
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

func (s *dirSnapshotter) CreateVolumeFromSnapshot(_ context.Context, snapshot, volumeType, zone string, _ int64) (string, error) {
	if zone == "" {
		return "", errors.New("the zone is missing")
	}
	if _, err := s.read("snapshots", snapshot); err != nil {
		return "", err
	}
	return s.create("volumes", volumeType)
}

func (s *dirSnapshotter) GetVolumeInfo(_ context.Context, volume, _ string) (string, int64, error) {
	volumeType, err := s.read("volumes", volume)
	return volumeType, 0, err
}

func (s *dirSnapshotter) CreateSnapshot(_ context.Context, volume, _ string, _ map[string]string) (string, error) {
	if _, err := s.read("volumes", volume); err != nil {
		return "", err
	}
	return s.create("snapshots", volume)
}

func (s *dirSnapshotter) DeleteSnapshot(_ context.Context, snapshot string) error {
	file, err := s.file("snapshots", snapshot)
	if err != nil || snapshot == "" {
		return err
	}
	if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (s *dirSnapshotter) GetVolumeID(_ context.Context, pv *unstructured.Unstructured) (string, error) {
	csi, _, err := unstructured.NestedMap(pv.Object, "spec", "csi")
	if err != nil || csi["driver"] != driver {
		return "", err
	}
	id, _, err := unstructured.NestedString(csi, "volumeHandle")
	return id, err
}

func (s *dirSnapshotter) SetVolumeID(_ context.Context, pv *unstructured.Unstructured, id string) error {
	if name, _, err := unstructured.NestedString(pv.Object, "spec", "csi", "driver"); err != nil || name != driver {
		return fmt.Errorf("the driver %q is not that of this snapshotter, %w", name, err)
	}
	return unstructured.SetNestedField(pv.Object, id, "spec", "csi", "volumeHandle")
}

// faultySnapshotter is a snapshotter with one fault.
type faultySnapshotter struct {
	*dirSnapshotter
	fault string

	mu     sync.Mutex
	leaked []*os.File // kept from the garbage collector, which would close them
}

func (s *faultySnapshotter) Init(ctx context.Context, config map[string]string) error {
	switch s.fault {
	case "accepts unknown keys":
		root := config["root"]
		s.root.Store(&root)
		return nil
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
	return s.dirSnapshotter.Init(ctx, config)
}

func (s *faultySnapshotter) CreateVolumeFromSnapshot(ctx context.Context, snapshot, volumeType, zone string, iops int64) (string, error) {
	switch s.fault {
	case "divides by the IOPS":
		return s.dirSnapshotter.CreateVolumeFromSnapshot(ctx, snapshot, volumeType, zone, 1000/iops)
	case "makes volumes of one type":
		volumeType = "slow"
	case "makes nothing without a zone":
		if zone == "" {
			return "", nil
		}
	}
	return s.dirSnapshotter.CreateVolumeFromSnapshot(ctx, snapshot, volumeType, zone, iops)
}

func (s *faultySnapshotter) GetVolumeInfo(ctx context.Context, volume, zone string) (string, int64, error) {
	volumeType, iops, err := s.dirSnapshotter.GetVolumeInfo(ctx, volume, zone)
	if s.fault == "knows all volumes" {
		return "fast", 0, nil
	}
	return volumeType, iops, err
}

func (s *faultySnapshotter) CreateSnapshot(ctx context.Context, volume, zone string, tags map[string]string) (string, error) {
	switch {
	case s.fault == "takes snapshots before Init" && s.root.Load() == nil:
		return "snapshot-1", nil
	case s.fault == "gives no id":
		return "", nil
	case s.fault == "gives one id":
		return "snapshot-1", nil
	case s.fault == "refuses many tags" && len(tags) > 50:
		return "", errors.New("more than 50 tags")
	}
	return s.dirSnapshotter.CreateSnapshot(ctx, volume, zone, tags)
}

func (s *faultySnapshotter) DeleteSnapshot(ctx context.Context, snapshot string) error {
	switch s.fault {
	case "deletes no absent snapshots":
		_, err := s.read("snapshots", snapshot)
		return errors.Join(err, s.dirSnapshotter.DeleteSnapshot(ctx, snapshot))
	case "deletes nothing without an id":
		if snapshot == "" {
			return errors.New("the id is missing")
		}
	}
	return s.dirSnapshotter.DeleteSnapshot(ctx, snapshot)
}

func (s *faultySnapshotter) GetVolumeID(ctx context.Context, pv *unstructured.Unstructured) (string, error) {
	id, err := s.dirSnapshotter.GetVolumeID(ctx, pv)
	root := s.root.Load()
	switch s.fault {
	case "forgets its configuration during Init":
		if root == nil {
			return "", errors.New("the snapshotter is not initialized")
		}
	case "accepts unknown keys":
		return id, err
	case "refuses volumes of others":
		if id == "" {
			return "", errors.New("the volume is not on this disk")
		}
	case "trusts its objects":
		return pv.Object["spec"].(map[string]any)["csi"].(map[string]any)["volumeHandle"].(string), nil
	case "gives the id of another volume":
		return id + "0", err
	}
	return id, err
}

func (s *faultySnapshotter) SetVolumeID(ctx context.Context, pv *unstructured.Unstructured, id string) error {
	switch s.fault {
	case "keeps the old id":
		return nil
	case "drops unknown fields":
		spec := pv.Object["spec"].(map[string]any)
		delete(spec, "xPlugintest")
	case "returns a part of the volume":
		pv.Object = map[string]any{"kind": "PersistentVolume", "spec": pv.Object["spec"]}
	}
	return s.dirSnapshotter.SetVolumeID(ctx, pv, id)
}

var _ sdk.VolumeSnapshotter = (*faultySnapshotter)(nil)
