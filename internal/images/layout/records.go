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
	found  map[string]recordState // by key
	filled map[string]bool        // folders of locations that have some backup
}

// recordState is what is known of the object that Velero writes at the end of a
// backup.
type recordState int

const (
	absent recordState = iota
	present
	unknown // it may not be read, such as with a credential for another prefix alone
)

func newRecords(bucket objectstore.Bucket) *records {
	return &records{bucket, map[string]recordState{}, map[string]bool{}}
}

// state says whether a backup has ended and is in the bucket.
func (r *records) state(ctx context.Context, b Backup) (recordState, error) {
	key := b.recordKey()
	if state, known := r.found[key]; known {
		return state, nil
	}
	_, err := r.bucket.Stat(ctx, key)
	switch {
	case err == nil:
		r.found[key] = present
	case errors.Is(err, fs.ErrNotExist):
		r.found[key] = absent
	case ctx.Err() != nil:
		return unknown, context.Cause(ctx)
	default:
		r.found[key] = unknown
	}
	return r.found[key], nil
}

// lost reports whether a backup is not in the bucket though others of its
// location are. Without any, the location was moved or is not filled yet. What
// may not be read is not lost.
func (r *records) lost(ctx context.Context, b Backup) (bool, error) {
	state, err := r.state(ctx, b)
	if state != absent || err != nil {
		return false, err
	}
	folder := b.folder()
	if filled, known := r.filled[folder]; known {
		return filled, nil
	}
	for _, err := range r.bucket.List(ctx, folder) {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		r.filled[folder] = err == nil
		break
	}
	return r.filled[folder], nil
}
