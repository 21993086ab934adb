package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"runtime"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// sink is a stream that encodes what it is sent, as a connection does.
type sink struct {
	grpc.ServerStream
	got      []byte
	messages int
}

func (s *sink) SendMsg(m any) error {
	out, err := newCodec().Marshal(m)
	if err != nil {
		return err
	}
	defer out.Free()
	var message abi.Bytes
	if err := proto.Unmarshal(out.Materialize(), &message); err != nil {
		return err
	}
	s.got = append(s.got, message.GetData()...)
	s.messages++
	return nil
}

// lender hands out its own bytes in chunks of the given size.
type lender struct {
	io.Reader
	data     []byte
	size     int
	out, all int // chunks not yet released, and all of them
}

func (l *lender) ReadChunk([]byte) ([]byte, func(), error) {
	if len(l.data) == 0 {
		return nil, nil, io.EOF
	}
	chunk := l.data[:min(l.size, len(l.data))]
	l.data = l.data[len(chunk):]
	l.out++
	l.all++
	return chunk, func() { l.out-- }, nil
}

func TestSend(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 3*ChunkSize/16+1)
	s := New(slog.New(slog.DiscardHandler), Limits{})
	for _, n := range []int{0, 1, ChunkSize - 1, ChunkSize, len(content)} {
		stream := &sink{}
		if err := s.send(context.Background(), stream, bytes.NewReader(content[:n])); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stream.got, content[:n]) || stream.messages != (n+ChunkSize-1)/ChunkSize {
			t.Errorf("%d bytes: got %d in %d messages", n, len(stream.got), stream.messages)
		}
		for _, size := range []int{100 << 10, ChunkSize, 2*ChunkSize + 5} {
			stream, object := &sink{}, &lender{data: content[:n], size: size}
			if err := s.send(context.Background(), stream, object); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(stream.got, content[:n]) || object.out != 0 {
				t.Errorf("%d bytes in chunks of %d: got %d, %d of %d chunks not released", n, size, len(stream.got), object.out, object.all)
			}
		}
	}
}

func TestSendEndsWithoutProgress(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler), Limits{})
	idle := readerFunc(func([]byte) (int, error) { return 0, nil })
	if err := s.send(context.Background(), &sink{}, idle); err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
	if err := s.send(context.Background(), &sink{}, idleChunks{}); err != io.ErrNoProgress {
		t.Errorf("chunks: got %v", err)
	}
}

type idleChunks struct{ io.Reader }

func (idleChunks) ReadChunk([]byte) ([]byte, func(), error) { return nil, nil, nil }

// A small object must not cost a new buffer of a large one.
func TestSmallObjectsReuseBuffers(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler), Limits{})
	const objects = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range objects {
		if err := s.send(context.Background(), &sink{}, emptyEnd{bytes.NewReader(make([]byte, 1000))}); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	// The race detector makes pools forget a part of what they hold.
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > objects*ChunkSize*2/3 {
		t.Errorf("%d KiB for each object", allocated/objects>>10)
	}
}

// emptyEnd ends with no data, as a download does.
type emptyEnd struct{ *bytes.Reader }

func (r emptyEnd) ReadChunk(p []byte) ([]byte, func(), error) {
	n, err := r.Read(p)
	if err != nil {
		return nil, nil, err
	}
	return p[:n], nil, nil
}
