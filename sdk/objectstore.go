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
	Init(ctx context.Context, in InitInput) (InitResult, error)

	// PutObject stores in.Body, to its end, under in.Key, and replaces an object
	// that is there. The object becomes visible only when it is complete: an
	// error of the body or of the store, or the end of ctx, leaves no new object,
	// no changed old object and no parts behind.
	PutObject(ctx context.Context, in PutObjectInput) (PutObjectResult, error)

	// ObjectExists reports whether an object is there. Absence is not an error,
	// and no error is ever reported as absence.
	ObjectExists(ctx context.Context, in ObjectExistsInput) (ObjectExistsResult, error)

	// GetObject returns the object's bytes. An absent object is an error, either
	// here or from the first Read. A reader that cannot deliver the whole object
	// ends with an error other than io.EOF. The SDK closes the reader, also
	// before its end, which frees all that it holds.
	GetObject(ctx context.Context, in GetObjectInput) (GetObjectResult, error)

	// ListCommonPrefixes returns the distinct prefixes of keys that begin with
	// in.Prefix, cut after the first delimiter that follows it. Each contains
	// in.Prefix and ends with the delimiter. Keys without a further delimiter do
	// not appear. No match is an empty list. With the keys backups/a/x and
	// backups/b/y, the prefix backups/ and the delimiter / it returns backups/a/
	// and backups/b/.
	ListCommonPrefixes(ctx context.Context, in ListCommonPrefixesInput) (ListCommonPrefixesResult, error)

	// ListObjects returns all keys that begin with in.Prefix, complete, each
	// once, in any order. No match is an empty list.
	ListObjects(ctx context.Context, in ListObjectsInput) (ListObjectsResult, error)

	// DeleteObject removes an object. An absent object is success, an absent
	// bucket is an error.
	DeleteObject(ctx context.Context, in DeleteObjectInput) (DeleteObjectResult, error)

	// CreateSignedURL returns a URL that gives the object to a plain GET for
	// in.TTL from now on. A store that cannot sign returns an error.
	CreateSignedURL(ctx context.Context, in CreateSignedURLInput) (CreateSignedURLResult, error)
}

// InitInput is what Init of an ObjectStore or a VolumeSnapshotter works on.
type InitInput struct {
	Config map[string]string // never nil when the SDK calls
}

// InitResult is the empty answer of Init.
type InitResult struct{}

// PutObjectInput is what ObjectStore.PutObject works on.
type PutObjectInput struct {
	Bucket, Key string
	Body        io.Reader
}

// PutObjectResult is the empty answer of ObjectStore.PutObject.
type PutObjectResult struct{}

// ObjectExistsInput is what ObjectStore.ObjectExists works on.
type ObjectExistsInput struct{ Bucket, Key string }

// ObjectExistsResult is the answer of ObjectStore.ObjectExists.
type ObjectExistsResult struct{ Exists bool }

// GetObjectInput is what ObjectStore.GetObject works on.
type GetObjectInput struct{ Bucket, Key string }

// GetObjectResult is the answer of ObjectStore.GetObject.
type GetObjectResult struct{ Body io.ReadCloser }

// ListCommonPrefixesInput is what ObjectStore.ListCommonPrefixes works on.
type ListCommonPrefixesInput struct{ Bucket, Prefix, Delimiter string }

// ListCommonPrefixesResult is the answer of ObjectStore.ListCommonPrefixes.
type ListCommonPrefixesResult struct{ Prefixes []string }

// ListObjectsInput is what ObjectStore.ListObjects works on.
type ListObjectsInput struct{ Bucket, Prefix string }

// ListObjectsResult is the answer of ObjectStore.ListObjects.
type ListObjectsResult struct{ Keys []string }

// DeleteObjectInput is what ObjectStore.DeleteObject works on.
type DeleteObjectInput struct{ Bucket, Key string }

// DeleteObjectResult is the empty answer of ObjectStore.DeleteObject.
type DeleteObjectResult struct{}

// CreateSignedURLInput is what ObjectStore.CreateSignedURL works on.
type CreateSignedURLInput struct {
	Bucket, Key string
	TTL         time.Duration // how long the URL is to work
}

// CreateSignedURLResult is the answer of ObjectStore.CreateSignedURL.
type CreateSignedURLResult struct{ URL string }

// ChunkReader is an optional ability of the reader that GetObject returns: it
// hands out its own buffers, which saves a copy of each byte.
type ChunkReader interface {
	io.ReadCloser
	// ReadChunk returns the next bytes of the object. It either reads into p, as
	// many as it can, and returns them without release, or returns bytes of its
	// own that stay valid until release is called, by any goroutine and also
	// after Close. Errors are those of a Read.
	ReadChunk(p []byte) (data []byte, release func(), err error)
}
