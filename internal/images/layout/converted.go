package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// The key of a conversion has both digests, so that a list tells all of them:
//
//	docker/registry/oadp/converted/v1/sha256:<old>/sha256:<new>
//
// The old manifest is kept as a blob, from which the new image can be proven to
// follow: whoever writes to the bucket could otherwise let any image stand for
// another.

// SetConverted implements images.Conversions.
func (t *Tree) SetConverted(ctx context.Context, from *images.Manifest, to digest.Digest) error {
	if err := to.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", to, err)
	}
	if err := t.storeManifest(ctx, from.Digest, from.Verified()); err != nil {
		return err
	}
	return t.bucket.Put(ctx, convertedKey(from.Digest, to), strings.NewReader(to.String()))
}

// Converted implements images.Conversions.
func (t *Tree) Converted(ctx context.Context, d digest.Digest) (digest.Digest, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", d, err)
	}
	found, err := t.conversions(ctx, convertedRoot+d.String()+"/")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return found[len(found)-1].to, nil
	}
	return "", fmt.Errorf("%w: a conversion of %s", fs.ErrNotExist, d)
}

// AllConverted returns the digests of all images that were converted, by those
// that they had before. Conversions that the bucket does not prove are left out.
func (t *Tree) AllConverted(ctx context.Context) (map[digest.Digest]digest.Digest, error) {
	all, err := t.conversions(ctx, convertedRoot)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	proven := map[digest.Digest]digest.Digest{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelRequests)
	for _, c := range all {
		group.Go(func() error {
			if err := t.prove(ctx, c); err != nil {
				if ctx.Err() == nil {
					t.log.Warn("the bucket does not prove that an image was converted to another one, and so it is not taken for it",
						"from", c.from.String(), "to", c.to.String(), "error", err.Error())
				}
				return context.Cause(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			proven[c.from] = c.to
			return nil
		})
	}
	return proven, group.Wait()
}

// prove returns an error unless the bucket has the old manifest, and the new image
// is what it becomes.
func (t *Tree) prove(ctx context.Context, c conversion) error {
	from, err := readManifest(ctx, t.bucket, c.from)
	if err != nil {
		return err
	}
	to, err := readManifest(ctx, t.bucket, c.to)
	if err != nil {
		return err
	}
	config, err := images.ReadConfig(to, func(b images.Descriptor) (io.ReadCloser, error) { return t.Blob(ctx, "", b) })
	if err != nil {
		return err
	}
	return from.ConvertsTo(to, config)
}

// conversion says that an image was converted.
type conversion struct{ from, to digest.Digest }

func convertedKey(from, to digest.Digest) string {
	return convertedRoot + from.String() + "/" + to.String()
}

// maxConversions is how many conversions a bucket may have. Images of schema 1 are
// not made any more.
const maxConversions = 10_000

func (t *Tree) conversions(ctx context.Context, prefix string) ([]conversion, error) {
	var found []conversion
	for o, err := range t.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		from, to, _ := strings.Cut(strings.TrimPrefix(o.Key, convertedRoot), "/")
		c := conversion{digest.Digest(from), digest.Digest(to)}
		if errors.Join(c.from.Validate(), c.to.Validate()) != nil {
			continue
		}
		if len(found) == maxConversions {
			return nil, fmt.Errorf("%s has more than %d conversions", prefix, maxConversions)
		}
		found = append(found, c)
	}
	return found, nil
}
