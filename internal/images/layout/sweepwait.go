package layout

import (
	"context"
	"log/slog"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// How a backup waits for sweeps; see the comment of the package.
const (
	// maxSweepTime is how long a sweep goes on, by its own clock.
	maxSweepTime = 2 * time.Minute
	// maxDeleteTime is how long each of its requests may take.
	maxDeleteTime = 20 * time.Second
	// sweepTimeout is how long a backup waits: a sweep that has not ended by then has crashed.
	sweepTimeout = maxSweepTime + maxDeleteTime + 40*time.Second
	// sweepPollInterval is the time between two looks at the sweeps that are waited for.
	sweepPollInterval = time.Second
)

// waitForSweeps waits until the sweeps that go on now have ended. Those that begin later
// see the entries that were written before, so they are not waited for.
func waitForSweeps(ctx context.Context, bucket objectstore.Bucket, log *slog.Logger) error {
	sweeps, err := keys(ctx, bucket, sweepsRoot)
	if err != nil || len(sweeps) == 0 {
		return err
	}
	log.Info("waiting for a clean-up of images to end", "sweeps", len(sweeps))
	since := time.Now()
	for len(sweeps) > 0 && time.Since(since) <= sweepTimeout {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(sweepPollInterval):
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
