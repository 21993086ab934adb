package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"sync"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/item"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Document is an object as Velero sent it. It is decoded when it is first asked
// for and may be shared between concurrent calls, so what its methods return
// must not be changed. A nil Document is valid and holds nothing.
type Document struct {
	raw    []byte
	once   sync.Once
	object *unstructured.Unstructured
	err    error
	views  sync.Map // of functions that return what Decode does, by type
}

// NewDocument returns the object of that JSON.
func NewDocument(json []byte) *Document { return &Document{raw: json} }

// JSON returns the object as Velero sent it.
func (d *Document) JSON() []byte {
	if d == nil {
		return nil
	}
	return d.raw
}

var errNoDocument = errors.New("no such object was sent by Velero")

// Object returns the decoded object.
func (d *Document) Object() (*unstructured.Unstructured, error) {
	if d == nil {
		return nil, errNoDocument
	}
	d.once.Do(func() { d.object, d.err = item.Decode(d.raw) })
	return d.object, d.err
}

func (d *Document) document() *Document { return d }

// Decodable is what Decode reads: a *Document, a Backup or a Restore.
type Decodable interface{ document() *Document }

// Decode returns an object as a T: as much of it as T has fields for, in the
// way of encoding/json.
//
//	type spec struct{ Spec struct{ StorageLocation string } }
//	s, err := sdk.Decode[spec](in.Backup)
//
// It is decoded once for each T and shared between concurrent calls: it must not
// be changed.
func Decode[T any](from Decodable) (*T, error) {
	d := from.document()
	if d == nil {
		return nil, errNoDocument
	}
	view, _ := d.views.LoadOrStore(reflect.TypeFor[T](), sync.OnceValues(func() (*T, error) {
		t := new(T)
		return t, json.Unmarshal(d.raw, t)
	}))
	return view.(func() (*T, error))()
}

// documents holds the last few resources that calls came with. Velero sends the
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
