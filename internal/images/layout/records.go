package layout

import (
	"context"
	"errors"
	"io/fs"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// records tell what Velero has written of backups. Each is looked for once.
type records struct {
	bucket objectstore.Bucket
	found  map[string]bool // by key
	filled map[string]bool // folders of locations that have some backup
}

func newRecords(bucket objectstore.Bucket) *records {
	return &records{bucket, map[string]bool{}, map[string]bool{}}
}

// complete reports whether a backup has ended and is in the bucket.
func (r *records) complete(ctx context.Context, b Backup) (bool, error) {
	key := b.recordKey()
	if found, known := r.found[key]; known {
		return found, nil
	}
	_, err := r.bucket.Stat(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	r.found[key] = err == nil
	return err == nil, nil
}

// lost reports whether a backup is not in the bucket though others of its
// location are. Without any, the location was moved or is not filled yet.
func (r *records) lost(ctx context.Context, b Backup) (bool, error) {
	complete, err := r.complete(ctx, b)
	if complete || err != nil {
		return false, err
	}
	folder := b.folder()
	if filled, known := r.filled[folder]; known {
		return filled, nil
	}
	for _, err := range r.bucket.List(ctx, folder) {
		if err != nil {
			return false, err
		}
		r.filled[folder] = true
		break
	}
	return r.filled[folder], nil
}
