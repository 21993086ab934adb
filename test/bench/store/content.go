package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// period is prime, so no two parts of an object, whatever their size, hold the
// same bytes: a part that is lost, doubled or swapped shows.
const period = 1<<20 + 7

// content is what every object holds: incompressible bytes that cost no more
// than a copy to produce and a comparison to verify, so that neither end of a
// stream is what a benchmark measures.
type content []byte

func newContent() content {
	c := make(content, period)
	rand.NewChaCha8([32]byte{}).Read(c)
	return c
}

// reader returns the first size bytes. Like a file, it gives data and io.EOF
// apart: Velero's client loses data that comes with the end.
func (c content) reader(size int64) io.Reader {
	return &contentReader{content: c, left: size}
}

type contentReader struct {
	content content
	offset  int
	left    int64
}

func (r *contentReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.left)]
	for filled := 0; filled < len(p); {
		n := copy(p[filled:], r.content[r.offset:])
		filled += n
		r.offset = (r.offset + n) % len(r.content)
	}
	r.left -= int64(len(p))
	return len(p), nil
}

// verify reads got to its end and fails unless it is the first size bytes, all
// of them and nothing else.
func (c content) verify(got io.Reader, size int64) error {
	want := c.reader(size)
	// As large as the buffer of io.Copy, with which Velero reads.
	buffer, expected := make([]byte, 32<<10), make([]byte, 32<<10)
	var offset int64
	for {
		n, err := got.Read(buffer)
		m, _ := io.ReadFull(want, expected[:n])
		if m < n {
			return fmt.Errorf("more than %d bytes", size)
		}
		if !bytes.Equal(buffer[:n], expected[:n]) {
			return fmt.Errorf("wrong data between byte %d and %d", offset, offset+int64(n))
		}
		offset += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", offset, size, err)
		}
	}
	if offset < size {
		return fmt.Errorf("ended after %d of %d bytes", offset, size)
	}
	return nil
}
