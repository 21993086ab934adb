package layout

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// drop removes the entry of an owner. If it was the last one of the image, the
// image becomes pending. What is lost by a crash in between, clean-up finds by
// the marks.
func drop(ctx context.Context, bucket objectstore.Bucket, image digest.Digest, owner string) error {
	key := entryKey(image, owner)
	e, err := readEntry(ctx, bucket, key, image)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := bucket.Delete(ctx, key); err != nil {
		return err
	}
	others, err := keys(ctx, bucket, entriesRoot+image.String()+"/")
	if err != nil || len(others) > 0 {
		return err
	}
	return bucket.Put(ctx, pendingKey(image), bytes.NewReader(e.encode()))
}
