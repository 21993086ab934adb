package sdk

import (
	"bytes"
	"encoding/json"
	"reflect"
	"sync"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/item"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Document is an object as Velero sent it. It is decoded when it is first asked
// for and may be shared between concurrent calls: it must not be changed.
type Document struct {
	raw    []byte
	once   sync.Once
	object *unstructured.Unstructured
	err    error
	views  sync.Map // of functions that return what Decode does, by type
}

// JSON returns the object as Velero sent it.
func (d *Document) JSON() []byte { return d.raw }

// Object returns the decoded object.
func (d *Document) Object() (*unstructured.Unstructured, error) {
	d.once.Do(func() { d.object, d.err = item.Decode(d.raw) })
	return d.object, d.err
}

// Decode returns the object as a T: as much of it as T has fields for, in the
// way of encoding/json. It is decoded once for each T and shared between
// concurrent calls: it must not be changed.
func Decode[T any](d *Document) (*T, error) {
	view, _ := d.views.LoadOrStore(reflect.TypeFor[T](), sync.OnceValues(func() (*T, error) {
		t := new(T)
		return t, json.Unmarshal(d.raw, t)
	}))
	return view.(func() (*T, error))()
}

// Backup is the Backup resource that a call belongs to. It is decoded once for
// all items of the backup. Hosts may leave out its kind.
type Backup struct{ *Document }

// Restore is the Restore resource that a call belongs to, with the rules of
// Backup.
type Restore struct{ *Document }

// NewBackup returns the Backup of that JSON, for tests of actions.
func NewBackup(json []byte) *Backup { return &Backup{&Document{raw: json}} }

// NewRestore returns the Restore of that JSON, for tests of actions.
func NewRestore(json []byte) *Restore { return &Restore{&Document{raw: json}} }

// NewDocument returns the object of that JSON, for tests of actions.
func NewDocument(json []byte) *Document { return &Document{raw: json} }

// documents keeps the last few resources that calls came with. Velero sends the
// same one with each of thousands of items.
type documents struct {
	mu     sync.Mutex
	recent []*Document // latest first
}

// maxDocuments is how many backups and restores a process works on at a time
// before one is decoded again.
const maxDocuments = 8

func (c *documents) get(raw []byte) *Document {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, d := range c.recent {
		if bytes.Equal(d.raw, raw) {
			copy(c.recent[1:i+1], c.recent[:i])
			c.recent[0] = d
			return d
		}
	}
	if len(c.recent) < maxDocuments {
		c.recent = append(c.recent, nil)
	}
	copy(c.recent[1:], c.recent)
	c.recent[0] = &Document{raw: bytes.Clone(raw)}
	return c.recent[0]
}
