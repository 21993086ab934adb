// Package objectstore is the contract of a bucket in which plugins keep what
// Velero does not know of, beside Velero's own objects.
//
// The stores are packages of their own, s3 for example, and pass the suite of
// buckettest. Package open opens the bucket of a backup storage location.
package objectstore

import (
	"context"
	"io"
	"iter"
	"time"
)

// Bucket holds objects under keys that begin at its root: the prefix of a
// location does not count. Errors name the bucket and the key. Methods are safe
// for concurrent use.
type Bucket interface {
	// Stat returns what is known of an object without reading it. The error for
	// an object that does not exist is fs.ErrNotExist.
	Stat(ctx context.Context, key string) (Object, error)
	// Get reads an object; it ends with io.EOF only after the last byte. The
	// error for an object that does not exist is fs.ErrNotExist.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// Put stores body, to its end, in place of any object of that key. After an
	// error, also one of body, there is no new object. It may wait for the end of
	// other calls of Put, so body must not; it does not for a short bytes.Reader or
	// strings.Reader.
	Put(ctx context.Context, key string, body io.Reader) error
	// Delete removes an object. That there is none is no error.
	Delete(ctx context.Context, key string) error
	// List yields the objects whose keys have a prefix, in no particular order,
	// as the pages come in. With a server that repeats itself, an object can come
	// more than once. An error is the last thing that it yields.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
}

// BucketCloser is a Bucket that holds connections and memory. Close frees them,
// when no call is running and none will follow.
type BucketCloser interface {
	Bucket
	io.Closer
}

// Object is an entry of a bucket.
type Object struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // by the server's clock; Stat may leave out the fraction of a second
}
