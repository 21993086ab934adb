package host

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Message is a message of the plugin protocol as it is on the wire. It is read
// and written field by field here, so that the tests share no code with the
// plugins.
type Message []byte

// Text adds a string.
func (m Message) Text(field protowire.Number, value string) Message {
	return m.Bytes(field, []byte(value))
}

// Bytes adds bytes or a message inside of this one.
func (m Message) Bytes(field protowire.Number, value []byte) Message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), value)
}

// Int adds a number.
func (m Message) Int(field protowire.Number, value int64) Message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(value))
}

// Map adds a map of strings.
func (m Message) Map(field protowire.Number, values map[string]string) Message {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		m = m.Bytes(field, Message{}.Text(1, key).Text(2, values[key]))
	}
	return m
}

// Values returns what a field of bytes or strings holds, in order.
func (m Message) Values(field protowire.Number) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := m; len(rest) > 0; {
			number, kind, n := protowire.ConsumeTag(rest)
			if n < 0 {
				return
			}
			rest = rest[n:]
			size := protowire.ConsumeFieldValue(number, kind, rest)
			if size < 0 {
				return
			}
			if number == field && kind == protowire.BytesType {
				if value, _ := protowire.ConsumeBytes(rest); !yield(value) {
					return
				}
			}
			rest = rest[size:]
		}
	}
}

// First returns the first value of a field of bytes or a string.
func (m Message) First(field protowire.Number) []byte {
	for value := range m.Values(field) {
		return value
	}
	return nil
}

// codec sends and receives Messages as they are.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(m)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*Message)
	if !ok {
		return fmt.Errorf("%T is no message", v)
	}
	*m = data.Materialize()
	return nil
}
