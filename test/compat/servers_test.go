// Package compat runs the aws object store against S3 servers of different
// origin, behind a proxy that refuses what any server refuses.
//
// To try another server, run the package with OADP_STACK_NAMESPACE=off and
// OADP_S3_SERVER=URL, OADP_S3_ACCESS_KEY, OADP_S3_SECRET_KEY and, if it is not
// us-east-1, OADP_S3_REGION. It makes buckets whose names begin with compat-.
package compat

import (
	"cmp"
	"os"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var stores stack.Stack

// The address and the credentials of a server that is not part of the stack.
const (
	serverEnv    = "OADP_S3_SERVER"
	accessKeyEnv = "OADP_S3_ACCESS_KEY"
	secretKeyEnv = "OADP_S3_SECRET_KEY"
	regionEnv    = "OADP_S3_REGION"
)

func TestMain(m *testing.M) { stores.Main(m, tools.MinIO, tools.VersityGW, tools.Rclone) }

// endpoint is how a server is reached.
type endpoint struct {
	url, region, accessKey, secretKey string
	client                            func() (*minio.Client, error)
}

// server is a column of the matrix.
type server struct {
	name   string
	module string // that pins its version
	start  func(testing.TB) endpoint
	limits map[string]limit // by the name of the check
}

// limit is what a server is known not to do.
type limit struct {
	error  string // that the check gives
	reason string // for the administrator
}

var servers = []server{
	{
		name:   "MinIO",
		module: "github.com/minio/minio",
		start: func(t testing.TB) endpoint {
			m := stores.MinIO(t)
			return endpoint{m.Endpoint, stack.Region, m.AccessKey, m.SecretKey, func() (*minio.Client, error) { return m.Client(m.Endpoint) }}
		},
	},
	{
		name:   "Versity S3 Gateway, on a file system",
		module: "github.com/versity/versitygw",
		start:  func(t testing.TB) endpoint { return endpointOf(&stores.VersityGW(t).S3Server) },
	},
	{
		name:   "rclone serve s3, on a file system",
		module: "github.com/rclone/rclone",
		start:  func(t testing.TB) endpoint { return endpointOf(stores.Rclone(t)) },
		limits: map[string]limit{
			damageDefault: {"5242881 bytes that were changed", "checksums of parts are not compared"},
			damageSigned:  {"1000 bytes that were changed", "the signed hash of the payload is not compared; set checksumAlgorithm to `CRC32`"},
		},
	},
}

func endpointOf(s *stack.S3Server) endpoint {
	return endpoint{s.Endpoint, s.Region, s.AccessKey, s.SecretKey, s.Client}
}

// given returns the server that the environment names.
func given() (server, bool) {
	url := os.Getenv(serverEnv)
	s := &stack.S3Server{
		Endpoint: url, Region: cmp.Or(os.Getenv(regionEnv), "us-east-1"),
		AccessKey: os.Getenv(accessKeyEnv), SecretKey: os.Getenv(secretKeyEnv),
	}
	return server{name: url, start: func(testing.TB) endpoint { return endpointOf(s) }}, url != ""
}
