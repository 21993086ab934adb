package layout

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// The key of a conversion has both digests, so that a list tells all of them.

// SetConverted implements images.Conversions.
func (t *Tree) SetConverted(ctx context.Context, from, to digest.Digest) error {
	for _, d := range []digest.Digest{from, to} {
		if err := d.Validate(); err != nil {
			return fmt.Errorf("digest %q: %w", d, err)
		}
	}
	return t.bucket.Put(ctx, convertedRoot+from.String()+"/"+to.String(), strings.NewReader(to.String()))
}

// Converted implements images.Conversions.
func (t *Tree) Converted(ctx context.Context, d digest.Digest) (digest.Digest, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", d, err)
	}
	found, err := conversions(ctx, t.bucket, convertedRoot+d.String()+"/")
	if err != nil {
		return "", err
	}
	if to, ok := found[d]; ok {
		return to, nil
	}
	return "", fmt.Errorf("%w: a conversion of %s", fs.ErrNotExist, d)
}

// AllConverted returns the digests of all images that were converted, by those
// that they had before.
func (t *Tree) AllConverted(ctx context.Context) (map[digest.Digest]digest.Digest, error) {
	return conversions(ctx, t.bucket, convertedRoot)
}

func conversions(ctx context.Context, bucket objectstore.Bucket, prefix string) (map[digest.Digest]digest.Digest, error) {
	found := map[digest.Digest]digest.Digest{}
	for o, err := range bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		from, to, _ := strings.Cut(strings.TrimPrefix(o.Key, convertedRoot), "/")
		if digest.Digest(from).Validate() == nil && digest.Digest(to).Validate() == nil {
			found[digest.Digest(from)] = digest.Digest(to)
		}
	}
	return found, nil
}
