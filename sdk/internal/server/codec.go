package server

import (
	"bytes"
	"errors"
	"sync"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec for all other messages
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Chunk is one piece of an object on its way from the host: a PutObjectRequest
// whose body stays in the buffers that the connection delivered.
type Chunk struct {
	Plugin, Bucket, Key string // set in the first message of a stream only
	first               bool
	body                mem.BufferSlice
}

// ChunkSize is the payload of the messages that carry an object to the host.
// Measured against hosts of all versions: large messages cost the least when
// they are not copied into a further buffer.
const ChunkSize = 1 << 20

// payload is one piece of an object on its way to the host: a Bytes message
// whose data is sent from the buffer that the object was read into.
type payload struct{ data mem.Buffer }

// pooled returns the data in a buffer of payloads, which goes back there when
// the connection has written it.
func pooled(b *[]byte) mem.Buffer { return mem.NewBuffer(b, &payloads) }

// borrowed returns data that is released when the connection has written it.
func borrowed(data []byte, release func()) mem.Buffer {
	if mem.IsBelowBufferPoolingThreshold(cap(data)) {
		// Such buffers are not counted, so the connection would not say when.
		own := mem.SliceBuffer(bytes.Clone(data))
		release()
		return own
	}
	return mem.NewBuffer(&data, releaser(release))
}

// releaser is a pool of one buffer that knows only how to take it back.
type releaser func()

func (r releaser) Get(int) *[]byte { panic("a releaser has no buffers") }
func (r releaser) Put(*[]byte)     { r() }

// payloads keeps buffers of ChunkSize. The connection gives them back when it
// has written them, which is after Send has returned.
var payloads payloadPool

type payloadPool struct{ pool sync.Pool }

func (p *payloadPool) Get(int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, ChunkSize)
	return &b
}

func (p *payloadPool) Put(b *[]byte) {
	*b = (*b)[:cap(*b)]
	p.pool.Put(b)
}

// codec is the protobuf codec, but for the two messages that carry objects:
// those move without being copied into a message first.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

func (codec) Name() string { return "proto" }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	p, ok := v.(*payload)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	header := protowire.AppendTag(nil, 1, protowire.BytesType)
	header = protowire.AppendVarint(header, uint64(p.data.Len()))
	p.data.Ref() // for the connection; the sender keeps its own
	return mem.BufferSlice{mem.SliceBuffer(header), p.data}, nil
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	chunk, ok := v.(*Chunk)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	return chunk.unmarshal(data)
}

var errMalformed = errors.New("malformed PutObjectRequest")

// unmarshal parses a PutObjectRequest. Hosts write the fields in order, so that
// everything before the body lies in the first buffer; a message of another
// shape is made contiguous first.
func (c *Chunk) unmarshal(data mem.BufferSlice) error {
	if len(data) == 0 {
		return nil
	}
	done, err := c.parse(data)
	if err != nil || done {
		return err
	}
	whole := mem.BufferSlice{mem.SliceBuffer(data.Materialize())}
	done, err = c.parse(whole)
	if err == nil && !done {
		err = errMalformed
	}
	return err
}

// parse reads the fields from the first buffer of data. It reports false when
// they go on in a later one.
func (c *Chunk) parse(data mem.BufferSlice) (done bool, err error) {
	head, total := data[0].ReadOnlyData(), data.Len()
	c.body = c.body[:0]
	defer func() {
		if !done {
			c.body.Free()
			c.body = c.body[:0]
		}
	}()
	for at := 0; at < total; {
		number, kind, n := protowire.ConsumeTag(head[min(at, len(head)):])
		if n < 0 {
			return c.incomplete(data)
		}
		at += n
		if number != 4 || kind != protowire.BytesType {
			value, n := fieldValue(number, kind, head[at:])
			if n < 0 {
				return c.incomplete(data)
			}
			if c.first {
				c.keep(number, value)
			}
			at += n
			continue
		}
		size, n := protowire.ConsumeVarint(head[at:])
		if n < 0 {
			return c.incomplete(data)
		}
		at += n
		if size > uint64(total-at) {
			return false, errMalformed
		}
		c.body.Free()
		c.body = section(c.body[:0], data, at, int(size))
		at += int(size)
	}
	return true, nil
}

func (c *Chunk) incomplete(data mem.BufferSlice) (bool, error) {
	if len(data) == 1 {
		return false, errMalformed
	}
	return false, nil
}

func fieldValue(number protowire.Number, kind protowire.Type, b []byte) ([]byte, int) {
	if kind == protowire.BytesType {
		return protowire.ConsumeBytes(b)
	}
	return nil, protowire.ConsumeFieldValue(number, kind, b)
}

func (c *Chunk) keep(number protowire.Number, value []byte) {
	switch number {
	case 1:
		c.Plugin = string(value)
	case 2:
		c.Bucket = string(value)
	case 3:
		c.Key = string(value)
	}
}

// section appends size bytes of data from offset at to out, with a reference of
// its own to each buffer.
func section(out, data mem.BufferSlice, at, size int) mem.BufferSlice {
	for _, b := range data {
		n := b.Len()
		if at >= n {
			at -= n
			continue
		}
		take := min(n-at, size)
		if take == 0 {
			break
		}
		out = append(out, b.Slice(at, at+take))
		at, size = 0, size-take
	}
	return out
}
