//go:build tools

// Package registry pins a registry of container images.
package registry

import _ "github.com/distribution/distribution/v3/cmd/registry"
