package awsfake

import (
	"maps"
	"time"
)

// Volume is an EBS volume.
type Volume struct {
	ID          string // given by AddVolume
	Zone        string
	Type        string // gp2 when empty
	Size        int    // GiB
	IOPS        int
	Throughput  int // MiB/s
	MultiAttach bool
	Outpost     string // ARN, "" for none
	Encrypted   bool
	KMSKeyID    string
	SnapshotID  string
	Tags        map[string]string

	created    time.Time
	token      string // of the request that created it
	seen       bool   // by a Describe
	keyRefused bool   // its KMS key cannot be used, so EC2 deletes it
}

// Snapshot is a snapshot of a volume.
type Snapshot struct {
	ID        string // given by AddSnapshot
	VolumeID  string
	Size      int // GiB
	Encrypted bool
	Tags      map[string]string
	Error     string // what went wrong; such a snapshot never completes
	Started   time.Time
	InUse     bool // by an image, so that it cannot be deleted
}

type storage struct {
	volumes   map[string]*Volume
	snapshots map[string]*Snapshot
	zones     []string

	snapshotTime, volumeTime time.Duration
	vanishUnseen             bool
}

func newStorage() storage {
	return storage{volumes: map[string]*Volume{}, snapshots: map[string]*Snapshot{}, zones: []string{"a", "b", "c"}}
}

// AddVolume adds a volume that is available and returns its ID.
func (c *Cloud) AddVolume(v Volume) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.Type == "" {
		v.Type = "gp2"
	}
	v.ID = c.nextID("vol")
	v.Tags = maps.Clone(v.Tags)
	c.storage.volumes[v.ID] = &v
	return v.ID
}

// RemoveVolume removes a volume.
func (c *Cloud) RemoveVolume(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.storage.volumes, id)
}

// AddSnapshot adds a snapshot, completed unless Started is too recent, and
// returns its ID.
func (c *Cloud) AddSnapshot(s Snapshot) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.ID = c.nextID("snap")
	s.Tags = maps.Clone(s.Tags)
	c.storage.snapshots[s.ID] = &s
	return s.ID
}

// Volume returns a volume, and whether it is there.
func (c *Cloud) Volume(id string) (Volume, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.storage.volumes[id]
	if !ok || v.keyRefused {
		return Volume{}, false
	}
	return *v, true
}

// Snapshot returns a snapshot, and whether it is there.
func (c *Cloud) Snapshot(id string) (Snapshot, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.storage.snapshots[id]
	if !ok {
		return Snapshot{}, false
	}
	return *s, true
}

// Snapshots returns how many snapshots there are.
func (c *Cloud) Snapshots() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.storage.snapshots)
}

// FailSnapshot lets a snapshot end in an error.
func (c *Cloud) FailSnapshot(id, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.snapshots[id].Error = message
}

// SetSnapshotTime sets how long a snapshot is pending; none when it was not
// called.
func (c *Cloud) SetSnapshotTime(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.snapshotTime = d
}

// SetVolumeTime sets how long a volume is being created.
func (c *Cloud) SetVolumeTime(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.volumeTime = d
}

// VanishUnseen lets a volume whose key cannot be used go away before anybody has
// seen it, and not after.
func (c *Cloud) VanishUnseen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storage.vanishUnseen = true
}
