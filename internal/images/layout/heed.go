package layout

import (
	"context"
	"log/slog"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// How a sweep and a backup respect each other; see the comment of the package.
const (
	// sweepTime is how long a sweep goes on, by its own clock.
	sweepTime = 2 * time.Minute
	// deleteTime is how long each of its requests may take.
	deleteTime = 20 * time.Second
	// patience is after what time a sweep is dead.
	patience = sweepTime + deleteTime + 40*time.Second
	// heedPause is between two looks at the sweeps that are waited for.
	heedPause = time.Second
)

// heed waits until the sweeps that go on now have ended. Those that begin later
// see the entries that were written before, so they are not waited for.
func heed(ctx context.Context, bucket objectstore.Bucket, log *slog.Logger) error {
	sweeps, err := keys(ctx, bucket, sweepsRoot)
	if err != nil || len(sweeps) == 0 {
		return err
	}
	log.Info("waiting for a clean-up of images to end", "sweeps", len(sweeps))
	since := time.Now()
	for len(sweeps) > 0 && time.Since(since) <= patience {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(heedPause):
		}
		left, err := keys(ctx, bucket, sweepsRoot)
		if err != nil {
			return err
		}
		for key := range sweeps {
			if !left[key] {
				delete(sweeps, key)
			}
		}
	}
	for key := range sweeps {
		log.Warn("a clean-up of images ended without its last step, which is done now", "key", key)
		if err := bucket.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// keys returns the keys of a prefix.
func keys(ctx context.Context, bucket objectstore.Bucket, prefix string) (map[string]bool, error) {
	found := map[string]bool{}
	for o, err := range bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		found[o.Key] = true
	}
	return found, nil
}
