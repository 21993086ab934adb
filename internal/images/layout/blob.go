package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// PutBlob implements images.Target. A blob that callers put at the same time,
// for whatever repositories, is read once.
func (t *Tree) PutBlob(ctx context.Context, repository string, b images.Descriptor, open images.Open) (int64, error) {
	r, err := t.announced(repository, b.Digest)
	if err != nil {
		return 0, err
	}
	read, err := t.putContent(ctx, b, open)
	if err != nil {
		return read, err
	}
	return read, t.link(ctx, r, layerLink(r.name, b.Digest), b.Digest)
}

// putContent stores a blob if it is not there in its right size, or if it was
// found damaged, and returns the number of bytes that were read for it.
func (t *Tree) putContent(ctx context.Context, b images.Descriptor, open images.Open) (int64, error) {
	read, mine, err := t.blobs.Do(ctx, b.Digest, func(ctx context.Context) (int64, error) {
		key := blobKey(b.Digest)
		damaged, err := t.isDamaged(ctx, b.Digest)
		if err != nil {
			return 0, err
		}
		if damaged {
			t.log.Warn("a blob that was found damaged is replaced", "key", key)
			return t.replaceDamaged(ctx, b, open)
		}
		o, err := t.bucket.Stat(ctx, key)
		switch {
		case err == nil && (b.Size < 0 || o.Size == b.Size):
			return 0, nil
		case err == nil:
			t.log.Warn("a blob of the wrong size is replaced", "key", key, "size", o.Size, "expected", b.Size)
		case !errors.Is(err, fs.ErrNotExist):
			return 0, err
		}
		return upload(ctx, t.bucket, b, open)
	})
	if !mine {
		return 0, err
	}
	return read, err
}

// upload writes a blob to its final key, where it becomes visible as a whole.
func upload(ctx context.Context, bucket objectstore.Bucket, b images.Descriptor, open images.Open) (int64, error) {
	body, err := open(ctx)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	v := newVerifier(body, b)
	err = bucket.Put(ctx, blobKey(b.Digest), v)
	if err == nil && !v.whole {
		err = fmt.Errorf("blob %s was stored without its end", b.Digest)
	}
	return v.read, err
}

// verifier passes a blob on and fails instead of ending if it is not the one
// that was asked for, so that a store which it is put into gives it up.
type verifier struct {
	from  io.Reader
	blob  images.Descriptor
	sum   digest.Digester
	read  int64
	whole bool
}

func newVerifier(from io.Reader, b images.Descriptor) *verifier {
	return &verifier{from: from, blob: b, sum: b.Digest.Algorithm().Digester()}
}

// Read implements io.Reader.
func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.from.Read(p)
	v.read += int64(n)
	v.sum.Hash().Write(p[:n])
	if v.blob.Size >= 0 && v.read > v.blob.Size {
		return n, fmt.Errorf("%w: blob %s is longer than its %d bytes", images.ErrDamaged, v.blob.Digest, v.blob.Size)
	}
	if err != io.EOF {
		return n, err
	}
	if v.blob.Size >= 0 && v.read != v.blob.Size {
		return n, fmt.Errorf("%w: blob %s ended after %d of %d bytes: %w", images.ErrDamaged, v.blob.Digest, v.read, v.blob.Size, io.ErrUnexpectedEOF)
	}
	if found := v.sum.Digest(); found != v.blob.Digest {
		return n, fmt.Errorf("%w: the %d bytes of blob %s that were read have the digest %s", images.ErrDamaged, v.read, v.blob.Digest, found)
	}
	v.whole = true
	return n, io.EOF
}
