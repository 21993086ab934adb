package sdk

import (
	"context"
	"io"
	"time"
)

// ObjectStore keeps backups in buckets. Keys are complete: Velero has already
// put the location's prefix in front of them. All methods are called
// concurrently, also while Init runs again. The context of a call ends when
// Velero goes away; an implementation then stops and leaves nothing half done.
type ObjectStore interface {
	// Init takes the configuration of a backup storage location: its
	// spec.config and the keys that Velero adds (see package location). Velero
	// calls it again on a live store, with the same values or with others. It
	// must be cheap, replace the whole state at once, and leave the old state in
	// place when it fails. An unknown key is an error.
	Init(ctx context.Context, config map[string]string) error

	// PutObject stores body, to its end, under key, and replaces an object that
	// is there. The object becomes visible only when it is complete: an error of
	// body or of the store, or the end of ctx, leaves no new object, no changed
	// old object and no parts behind.
	PutObject(ctx context.Context, bucket, key string, body io.Reader) error

	// ObjectExists reports whether key is there. Absence is not an error, and
	// no error is ever reported as absence.
	ObjectExists(ctx context.Context, bucket, key string) (bool, error)

	// GetObject returns the object's bytes. An absent object is an error, either
	// here or from the first Read. A reader that cannot deliver the whole object
	// ends with an error other than io.EOF. The caller closes the reader, also
	// before its end, which frees all that it holds.
	GetObject(ctx context.Context, bucket, key string) (io.ReadCloser, error)

	// ListCommonPrefixes returns the distinct prefixes of keys that begin with
	// prefix, cut after the first delimiter that follows it. Each contains prefix
	// and ends with delimiter. Keys without a further delimiter do not appear.
	// No match is an empty list.
	ListCommonPrefixes(ctx context.Context, bucket, prefix, delimiter string) ([]string, error)

	// ListObjects returns all keys that begin with prefix, complete, each once,
	// in any order. No match is an empty list.
	ListObjects(ctx context.Context, bucket, prefix string) ([]string, error)

	// DeleteObject removes key. An absent object is success, an absent bucket is
	// an error.
	DeleteObject(ctx context.Context, bucket, key string) error

	// CreateSignedURL returns a URL that gives the object to a plain GET for ttl
	// from now on. A store that cannot sign returns an error.
	CreateSignedURL(ctx context.Context, bucket, key string, ttl time.Duration) (string, error)
}

// ChunkReader is an optional ability of the reader that GetObject returns: it
// hands out its own buffers, which saves a copy of each byte.
type ChunkReader interface {
	// ReadChunk returns the next bytes of the object. It either reads into p, as
	// many as it can, and returns them without release, or returns bytes of its
	// own that stay valid until release is called, by any goroutine and also
	// after Close. Errors are those of a Read.
	ReadChunk(p []byte) (data []byte, release func(), err error)
}
