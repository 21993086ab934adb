package registry

import (
	"context"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// sourceError is the failure of what a blob is read from.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// body is a blob on its way to the registry. It is opened by the first read, and
// ends with an error before its last byte if the content is not the blob's.
type body struct {
	ctx    context.Context
	cancel context.CancelFunc
	blob   images.Descriptor
	open   images.Open

	mu       sync.Mutex // held while a read runs
	content  io.ReadCloser
	verifier hash.Hash
	read     int64
	err      error // a sourceError or errDamaged
	closed   bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, fs.ErrClosed
	case b.err != nil:
		return 0, b.err
	}
	n, err := b.next(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case b.ctx.Err() != nil:
		return 0, err // for nobody waits for it any more
	}
	b.err = err
	return 0, err
}

// next reads and verifies. b.mu is held.
func (b *body) next(p []byte) (int, error) {
	if b.content == nil {
		content, err := b.open(b.ctx)
		if err != nil {
			return 0, &sourceError{err}
		}
		b.content = content
	}
	n, err := b.content.Read(p)
	b.read += int64(n)
	_, _ = b.verifier.Write(p[:n])
	if err != nil && err != io.EOF {
		return 0, &sourceError{err}
	}
	if err == io.EOF || b.read >= b.blob.Size && b.blob.Size >= 0 {
		if err := b.verify(); err != nil {
			return 0, err
		}
	}
	return n, err
}

// verify compares what was read with what the blob is. b.mu is held.
func (b *body) verify() error {
	if b.blob.Size >= 0 && b.read != b.blob.Size {
		return fmt.Errorf("%w: it has %d bytes instead of %d", errDamaged, b.read, b.blob.Size)
	}
	if found := digest.NewDigest(b.blob.Digest.Algorithm(), b.verifier); found != b.blob.Digest {
		return fmt.Errorf("%w: its content has the digest %s", errDamaged, found)
	}
	return nil
}

// Close implements io.Closer. It ends a read that runs and waits for it.
func (b *body) Close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.content == nil || b.closed {
		b.closed = true
		return nil
	}
	b.closed = true
	return b.content.Close()
}
