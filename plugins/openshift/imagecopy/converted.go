package imagecopy

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/opencontainers/go-digest"
)

// conversions are the digests of images after their conversion, by those before.
type conversions = map[digest.Digest]digest.Digest

// Converted returns the conversions that the bucket of a restore tells of. They
// are looked up once. A workload is restored without them if that fails.
func (i *Images) Converted(ctx context.Context, r *velero.Restore) map[digest.Digest]digest.Digest {
	if kept, err := i.Registry(&r.Task); err != nil || kept != Bucket {
		return nil
	}
	found, _ := i.converted.Get(ctx, r.Key(), func(ctx context.Context) (conversions, error) { // an error ends the caller, too
		tree, done, err := i.treeToRead(ctx, r)
		if err == nil {
			defer done()
			var found conversions
			if found, err = tree.AllConverted(ctx); err == nil {
				return found, nil
			}
		}
		if ctx.Err() == nil {
			slog.Warn("whether images have other digests than when they were backed up cannot be looked up, and workloads keep those that they had", "error", err)
			err = nil
		}
		return nil, err
	})
	return found
}
