// Package s3 is the object store for Amazon S3 and for the many servers that
// speak its protocol. It keeps to the part of the protocol that all of them
// understand: signature version 4 over the whole request, no chunked or trailing
// checksums, no optional header that was not asked for.
package s3
