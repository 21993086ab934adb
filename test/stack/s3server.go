package stack

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// S3Server is an S3 store of another kind than MinIO, over plain HTTP.
type S3Server struct {
	// Endpoint is the base URL, Region the signing region.
	Endpoint, Region string
	// AccessKey and SecretKey may do everything.
	AccessKey, SecretKey string

	processes []*server
}

// VersityGW is a store whose users, roles and permissions are those of AWS.
type VersityGW struct {
	S3Server
	// IAMEndpoint is the base URL of the IAM and STS APIs.
	IAMEndpoint string
}

// VersityGW returns the server that the tests of a package share. The first call
// starts it.
func (s *Stack) VersityGW(t testing.TB) *VersityGW {
	t.Helper()
	v := s.versitygw.get(t, s.startVersityGW)
	v.attach(t)
	return v
}

// Rclone returns the server that the tests of a package share. The first call
// starts it.
func (s *Stack) Rclone(t testing.TB) *S3Server {
	t.Helper()
	r := s.rclone.get(t, s.startRclone)
	r.attach(t)
	return r
}

func (s *Stack) startVersityGW(ctx context.Context) (*VersityGW, error) {
	v := &VersityGW{S3Server: S3Server{Region: "versity", AccessKey: "versityadmin", SecretKey: rand.Text()}}
	folders := map[string]string{"users": "", "objects": "", "metadata": ""}
	for name := range folders {
		dir, err := s.folder("data", "versitygw", name)
		if err != nil {
			return nil, err
		}
		folders[name] = dir
	}
	private := filepath.Join(s.stage.Dir, "versitygw-iam.sock")
	var err error
	v.IAMEndpoint, err = s.startVersity(ctx, v, "versitygw-iam", "iam", "--quiet", "--dir", folders["users"], "--private-ports", private)
	if err != nil {
		return nil, err
	}
	v.Endpoint, err = s.startVersity(ctx, v, "versitygw", "--iam-standalone-endpoint", private, "posix", "--sidecar", folders["metadata"], folders["objects"])
	return v, err
}

// startVersity starts one of the two servers and waits until it serves.
func (s *Stack) startVersity(ctx context.Context, v *VersityGW, name string, args ...string) (endpoint string, err error) {
	const health = "/health"
	address, err := s.address()
	if err != nil {
		return "", err
	}
	env := []string{"ROOT_ACCESS_KEY=" + v.AccessKey, "ROOT_SECRET_KEY=" + v.SecretKey, "VGW_REGION=" + v.Region}
	p, err := s.start(name, tools.VersityGWServer, env, append([]string{"--port", address, "--health", health, "--quiet"}, args...)...)
	if err != nil {
		return "", err
	}
	v.processes = append(v.processes, p)
	endpoint = "http://" + address
	return endpoint, p.await(ctx, get(http.DefaultTransport, endpoint+health))
}

func (s *Stack) startRclone(ctx context.Context) (*S3Server, error) {
	r := &S3Server{Region: "us-east-1", AccessKey: "rcloneadmin", SecretKey: rand.Text()}
	data, err := s.folder("data", "rclone")
	if err != nil {
		return nil, err
	}
	address, err := s.address()
	if err != nil {
		return nil, err
	}
	r.Endpoint = "http://" + address
	env := []string{fmt.Sprintf("RCLONE_AUTH_KEY=%q", r.AccessKey+","+r.SecretKey)}
	p, err := s.start("rclone", tools.RcloneServer, env, "serve", "s3", "--addr", address, data)
	if err != nil {
		return nil, err
	}
	r.processes = []*server{p}
	return r, p.await(ctx, r.answers)
}

// answers checks that the server takes requests.
func (r *S3Server) answers(ctx context.Context) error {
	client, err := r.Client()
	if err != nil {
		return err
	}
	_, err = client.ListBuckets(ctx)
	return err
}

func (r *S3Server) attach(t testing.TB) {
	for _, p := range r.processes {
		p.attach(t)
	}
}

// Client is a client that shares no code with the object stores under test.
func (r *S3Server) Client() (*minio.Client, error) {
	return minio.New(strings.TrimPrefix(r.Endpoint, "http://"), &minio.Options{
		Creds:  credentials.NewStaticV4(r.AccessKey, r.SecretKey, ""),
		Region: r.Region,
	})
}
