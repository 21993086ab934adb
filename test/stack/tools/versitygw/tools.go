//go:build tools

// Package versitygw pins an S3 gateway to a folder, whose code shares nothing
// with MinIO's.
package versitygw

import _ "github.com/versity/versitygw/cmd/versitygw"
