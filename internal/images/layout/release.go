package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// drop removes an entry. If it was the last one of the image, the image becomes
// pending. What is lost by a crash in between, clean-up finds by the marks.
func drop(ctx context.Context, bucket objectstore.Bucket, image digest.Digest, key string, e *entry) error {
	if err := bucket.Delete(ctx, key); err != nil {
		return err
	}
	others, err := keys(ctx, bucket, entriesRoot+image.String()+"/")
	if err != nil || len(others) > 0 {
		return err
	}
	return bucket.Put(ctx, pendingKey(image), bytes.NewReader(e.encode()))
}

// release removes the entry of a backup that is deleted. An entry of another
// backup stays, whatever the caller says of its owner: that comes from the tarball
// of the backup, where an image stream may carry what another backup has noted.
func (c *Cleaner) release(ctx context.Context, deleted Backup, owner string, image digest.Digest) error {
	if err := image.Validate(); err != nil {
		return err
	}
	if owner == "" || strings.Contains(owner, "/") {
		return fmt.Errorf("%q cannot be an owner", owner)
	}
	key := entryKey(image, owner)
	e, err := readEntry(ctx, c.bucket, key, image)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !e.isOf(deleted) {
		c.log.Warn("an image of a deleted backup is noted as that of another backup and stays",
			"digest", image.String(), "deleted", deleted.Name, "for", e.Backup.String())
		return nil
	}
	return drop(ctx, c.bucket, image, key, e)
}
