package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// A backup takes a blob of the right size for whole, as it does not read what is
// there. A restore reads it, and if its content is wrong leaves a note:
//
//	docker/registry/oadp/damaged/v1/sha256:<hex>
//
// The next backup that needs the blob replaces it and removes the note.

func damagedKey(d digest.Digest) string { return damagedRoot + d.String() }

// RecordDamage implements images.DamageRecorder. It reads the blob, so that no
// broken connection passes for damage.
func (t *RestoreTree) RecordDamage(ctx context.Context, d digest.Digest) error {
	if !t.Writable {
		return nil
	}
	damaged, err := isWrong(ctx, t.tree.bucket, d)
	if err != nil || !damaged {
		return err
	}
	t.tree.log.Warn("a blob is damaged; the next backup that needs it replaces it", "key", blobKey(d))
	return t.tree.bucket.Put(ctx, damagedKey(d), strings.NewReader(""))
}

// isWrong reports whether a blob has other content than its digest says.
func isWrong(ctx context.Context, bucket objectstore.Bucket, d digest.Digest) (bool, error) {
	if err := d.Validate(); err != nil {
		return false, fmt.Errorf("digest %q: %w", d, err)
	}
	body, err := bucket.Get(ctx, blobKey(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sum := d.Algorithm().Digester()
	_, err = io.Copy(sum.Hash(), body)
	if err = errors.Join(err, body.Close()); err != nil {
		return false, err
	}
	return sum.Digest() != d, nil
}

// isDamaged reports whether there is a note that a blob is damaged. All notes are
// listed once, as there are hardly any.
func (t *Tree) isDamaged(ctx context.Context, d digest.Digest) (bool, error) {
	notes, _, err := t.damaged.Do(ctx, "", func(ctx context.Context) (map[string]bool, error) {
		return keys(ctx, t.bucket, damagedRoot)
	})
	return notes[damagedKey(d)], err
}

// replaceDamaged stores a blob over a damaged one.
func (t *Tree) replaceDamaged(ctx context.Context, b images.Descriptor, open images.Open) (int64, error) {
	read, err := upload(ctx, t.bucket, b, open)
	if err != nil {
		return read, err
	}
	if err := t.bucket.Delete(ctx, damagedKey(b.Digest)); err != nil {
		t.log.Warn("the note that a blob was damaged stays, so it is replaced again", "key", damagedKey(b.Digest), "error", err.Error())
	}
	return read, nil
}
