package server

import (
	"bytes"
	"io"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// pieces cuts data into buffers of the given size, as a connection delivers it
// in frames.
func pieces(data []byte, size int) mem.BufferSlice {
	var out mem.BufferSlice
	for len(data) > 0 {
		n := min(size, len(data))
		out = append(out, mem.SliceBuffer(data[:n]))
		data = data[n:]
	}
	return out
}

func TestChunkReadsWhatProtobufWrites(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	request := &abi.PutObjectRequest{Plugin: "velero.io/aws", Bucket: "b", Key: "backups/ä/b.tar.gz", Body: body}
	raw, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 2, 7, 30, 100, 16384, len(raw)} {
		chunk := &Chunk{first: true}
		if err := newCodec().Unmarshal(pieces(raw, size), chunk); err != nil {
			t.Fatalf("pieces of %d bytes: %v", size, err)
		}
		if chunk.Plugin != request.Plugin || chunk.Bucket != request.Bucket || chunk.Key != request.Key {
			t.Errorf("pieces of %d bytes: got %q %q %q", size, chunk.Plugin, chunk.Bucket, chunk.Key)
		}
		if got := chunk.body.Materialize(); !bytes.Equal(got, body) {
			t.Errorf("pieces of %d bytes: the body differs", size)
		}
	}
}

func TestChunkRefusesMalformedMessages(t *testing.T) {
	for name, raw := range map[string][]byte{
		"body longer than the message": {4<<3 | 2, 200, 1, 'x'},
		"cut tag":                      {0x80},
		"cut string":                   {1<<3 | 2, 5, 'a'},
		"group that does not end":      {1<<3 | 3},
	} {
		for size := 1; size <= len(raw); size++ {
			if err := newCodec().Unmarshal(pieces(raw, size), &Chunk{}); err == nil {
				t.Errorf("%s, in pieces of %d: no error", name, size)
			}
		}
	}
}

func TestPayloadIsABytesMessage(t *testing.T) {
	for _, n := range []int{1, 127, 128, ChunkSize} {
		buffer := payloads.Get(ChunkSize)
		*buffer = (*buffer)[:n]
		for i := range *buffer {
			(*buffer)[i] = byte(i)
		}
		want := bytes.Clone(*buffer)
		p := &payload{pooled(buffer)}
		if got := sent(t, p); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: the data differs", n)
		}
		p.data.Free()
		if again := payloads.Get(ChunkSize); len(*again) != ChunkSize {
			t.Errorf("a buffer of %d bytes came back from the pool", len(*again))
		}
	}
}

func TestBorrowedDataIsReleasedOnce(t *testing.T) {
	for _, n := range []int{1, ChunkSize} {
		released := 0
		want := bytes.Repeat([]byte("x"), n)
		p := &payload{borrowed(want, func() { released++ })}
		if n == ChunkSize && released > 0 {
			t.Errorf("%d bytes: released before they were sent", n)
		}
		if got := sent(t, p); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: the data differs", n)
		}
		p.data.Free()
		if released != 1 {
			t.Errorf("%d bytes: released %d times", n, released)
		}
	}
}

// sent returns the data that a host gets, and frees what the connection holds.
func sent(t *testing.T, p *payload) []byte {
	t.Helper()
	out, err := newCodec().Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var message abi.Bytes
	if err := proto.Unmarshal(out.Materialize(), &message); err != nil {
		t.Fatal(err)
	}
	out.Free()
	return message.GetData()
}

func FuzzChunk(f *testing.F) {
	raw, _ := proto.Marshal(&abi.PutObjectRequest{Plugin: "p/n", Bucket: "b", Key: "k", Body: []byte("body")})
	f.Add(raw, 3)
	f.Add([]byte{4<<3 | 2, 0x80}, 1)
	f.Add([]byte{}, 1)
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		if size < 1 {
			size = 1
		}
		var want abi.PutObjectRequest
		wantErr := proto.Unmarshal(raw, &want)
		chunk := &Chunk{first: true}
		err := newCodec().Unmarshal(pieces(raw, size), chunk)
		if wantErr != nil {
			return // invalid UTF-8 and the like may pass, a crash may not
		}
		if err != nil {
			t.Fatalf("protobuf reads it, the chunk does not: %v", err)
		}
		if chunk.Key != want.GetKey() || !bytes.Equal(chunk.body.Materialize(), want.GetBody()) {
			t.Fatalf("got %q %q, want %q %q", chunk.Key, chunk.body.Materialize(), want.GetKey(), want.GetBody())
		}
	})
}

func TestReadFull(t *testing.T) {
	endless := readerFunc(func([]byte) (int, error) { return 0, nil })
	if _, err := readFull(endless, make([]byte, 1)); err != io.ErrNoProgress {
		t.Errorf("a reader without data or error: got %v", err)
	}
	pauses := 0
	hesitant := readerFunc(func(p []byte) (int, error) {
		if pauses++; pauses%3 != 0 {
			return 0, nil
		}
		if pauses == 9 {
			return 0, io.EOF
		}
		return copy(p, "ab"), nil
	})
	buffer := make([]byte, 16)
	n, err := readFull(hesitant, buffer)
	if string(buffer[:n]) != "abab" || err != io.EOF {
		t.Errorf("reads of no bytes: got %q, %v", buffer[:n], err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
