package azblob

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// body is the content of a request. HTTP may go on reading it after the request
// has failed, when the buffer holds something else: so it is detached from the
// buffer at the end.
type body struct {
	mu     sync.Mutex
	reader *bytes.Reader // nil when detached
}

func newBody(content []byte) *body { return &body{reader: bytes.NewReader(content)} }

// detach makes all further reads fail. A read that is running is waited for.
func (b *body) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reader = nil
}

var errDetached = errors.New("the request is over")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reader == nil {
		return 0, errDetached
	}
	return b.reader.Read(p)
}

// Seek implements io.Seeker.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reader == nil {
		return 0, errDetached
	}
	return b.reader.Seek(offset, whence)
}

// Close implements io.Closer. The body can be sent again.
func (b *body) Close() error { return nil }

var _ io.ReadSeekCloser = (*body)(nil)
