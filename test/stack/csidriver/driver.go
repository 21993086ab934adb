// Package csidriver is a CSI driver for tests. Its volumes and snapshots are
// folders of the machine, so that a test writes the data of a volume and compares
// it byte for byte after a restore:
//
//	ROOT/volumes/vol-7kq2/            the data of a volume
//	ROOT/volumes/vol-7kq2/block       the content of a volume in block mode
//	ROOT/snapshots/snap-x4ma/         the data of a snapshot
//
// It knows snapshots of one volume and of a group, clones, expansion, topology and
// lists in pages, and breaks in the ways that Faults names.
package csidriver

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
)

// Options says what Start starts.
type Options struct {
	// Name is the driver's, such as "folders.csi.example.io".
	Name string
	// Root is the folder of the volumes and snapshots.
	Root string
	// Socket is the path of the unix socket that the driver serves.
	Socket string
	// Node makes the driver's volumes reachable from the node of this name only,
	// as those of local disks are. Empty means from everywhere.
	Node string
}

// Driver serves the CSI gRPC services until Stop. Its methods are safe for
// concurrent use.
type Driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedGroupControllerServer
	csi.UnimplementedNodeServer

	options Options
	server  *grpc.Server

	// io is held for writing while volumes and snapshots are made, copied and
	// removed, and for reading while WriteData writes. It guards the maps as well.
	io        sync.RWMutex
	volumes   map[string]*volume
	snapshots map[string]*snapshot
	groups    map[string]*group

	mu     sync.Mutex // guards what follows
	faults Faults
	calls  map[string]int
}

// volume is one volume; its data is in the folder VolumeFolder.
type volume struct {
	id, name string
	capacity int64
	block    bool
	source   *csi.VolumeContentSource
	targets  []string // where it is published
}

// snapshot is a copy of a volume's data.
type snapshot struct {
	id, name, volume, group string
	capacity                int64
	block                   bool
	cut                     time.Time
	// answered is when the driver tells the handle, ready when the snapshot can be
	// restored from.
	answered, ready time.Time
}

// group is a set of snapshots that were cut at the same instant.
type group struct {
	id, name string
	members  []string
	cut      *snapshot // any member, whose times are those of all
}

// Start makes the folders and serves the socket.
func Start(options Options) (*Driver, error) {
	d := &Driver{
		options: options,
		volumes: map[string]*volume{}, snapshots: map[string]*snapshot{}, groups: map[string]*group{},
		calls: map[string]int{},
	}
	for _, dir := range []string{d.volumesRoot(), d.snapshotsRoot()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("unix", options.Socket)
	if err != nil {
		return nil, err
	}
	d.server = grpc.NewServer(grpc.UnaryInterceptor(d.count))
	csi.RegisterIdentityServer(d.server, d)
	csi.RegisterControllerServer(d.server, d)
	csi.RegisterGroupControllerServer(d.server, d)
	csi.RegisterNodeServer(d.server, d)
	go func() { _ = d.server.Serve(listener) }() // its error is that of Stop
	return d, nil
}

// Stop ends the service at once. Volumes and snapshots stay.
func (d *Driver) Stop() { d.server.Stop() }

// Name is the driver's name.
func (d *Driver) Name() string { return d.options.Name }

// Calls is how often a method was called, such as "CreateSnapshot".
func (d *Driver) Calls(method string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[method]
}

func (d *Driver) count(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	d.mu.Lock()
	d.calls[path.Base(info.FullMethod)]++
	d.mu.Unlock()
	return handler(ctx, request)
}

// VolumeFolder is the folder with the data of a volume, whose id is the
// volumeHandle of its persistent volume.
func (d *Driver) VolumeFolder(id string) string { return filepath.Join(d.volumesRoot(), id) }

// SnapshotFolder is the folder with the data of a snapshot, whose id is the
// snapshotHandle of its content.
func (d *Driver) SnapshotFolder(id string) string { return filepath.Join(d.snapshotsRoot(), id) }

func (d *Driver) volumesRoot() string   { return filepath.Join(d.options.Root, "volumes") }
func (d *Driver) snapshotsRoot() string { return filepath.Join(d.options.Root, "snapshots") }

// Volumes lists the ids of all volumes, sorted.
func (d *Driver) Volumes() []string {
	d.io.RLock()
	defer d.io.RUnlock()
	return slices.Sorted(maps.Keys(d.volumes))
}

// Snapshots lists the ids of all snapshots, sorted.
func (d *Driver) Snapshots() []string {
	d.io.RLock()
	defer d.io.RUnlock()
	return slices.Sorted(maps.Keys(d.snapshots))
}

// WriteData runs write while no snapshot is cut. Whatever it writes is in a
// snapshot as a whole or not at all, as a write to a disk is. write must not
// call the driver.
func (d *Driver) WriteData(write func() error) error {
	d.io.RLock()
	defer d.io.RUnlock()
	return write()
}

// newID makes an id such as "snap-x4ma6tqz2n3pd7wv".
func newID(kind string) string { return kind + "-" + strings.ToLower(rand.Text()[:16]) }

// copyTree copies what is in a folder to a new one, with modes, owners, links,
// times, extended attributes and holes.
func copyTree(from, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	output, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput()
	if err != nil {
		_ = os.RemoveAll(to)
		return fmt.Errorf("copy %s to %s: %w: %s", from, to, err, output)
	}
	return nil
}
