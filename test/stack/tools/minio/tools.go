//go:build tools

// Package minio pins the object store of the test stack.
package minio

import _ "github.com/minio/minio"
