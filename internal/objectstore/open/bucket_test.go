package open_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/buckettest"
	"github.com/oadp-plugins/oadp-plugins/test/support/independent"
)

const mib = 1 << 20

// Each method does what objectstore.Bucket says.
func TestBucket(t *testing.T) {
	for _, secure := range []bool{overHTTP, overTLS} {
		t.Run(fmt.Sprintf("tls %v", secure), func(t *testing.T) {
			buckettest.Run(t, func(t *testing.T) buckettest.Harness { return harness{newScene(t, secure)} })
		})
		t.Run(fmt.Sprintf("azure, tls %v", secure), func(t *testing.T) {
			buckettest.Run(t, func(t *testing.T) buckettest.Harness { return newAzureScene(t, secure) })
		})
	}
}

// harness is a scene for the suite of all stores.
type harness struct{ *scene }

func (h harness) Bucket() objectstore.Bucket { return h.mustOpen() }
func (h harness) Lost() objectstore.Bucket   { return h.lostBucket() }
func (h harness) PartSize() int              { return 5 * mib }
func (h harness) Independent() buckettest.Independent {
	return independent.S3{Client: h.client, Bucket: h.bucket}
}

// A body that fails leaves nothing, and its error is not taken for one of the
// server.
func TestPutWhoseBodyFails(t *testing.T) {
	s := newScene(t, overHTTP)
	b := s.mustOpen()
	broken := errors.New("the registry broke")
	for name, size := range map[string]int{"at once": 0, "small": 100, "several parts": 12 * mib} {
		t.Run(name, func(t *testing.T) {
			err := b.Put(t.Context(), "docker/k", io.MultiReader(stream(random(size)), iotest.ErrReader(broken)))
			if !errors.Is(err, broken) || strings.Contains(err.Error(), "AWS_") || !strings.Contains(err.Error(), "docker/k") || !strings.Contains(err.Error(), s.bucket) {
				t.Errorf("error: %v", err)
			}
			s.nothingLeft("docker/k")
		})
	}
}

// A customer's key encrypts what this bucket stores, and opens it again.
func TestCustomerKey(t *testing.T) {
	s := newScene(t, overTLS)
	raw := strings.Repeat("k", 32)
	s.config["customerKeyEncryptionFile"] = file(t, "key", raw)
	b := s.mustOpen()
	key, err := encrypt.NewSSEC([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{10, 11 * mib} {
		body := random(size)
		if err := b.Put(t.Context(), "k", stream(body)); err != nil {
			t.Fatal(err)
		}
		if o, err := b.Stat(t.Context(), "k"); err != nil || o.Size != int64(size) {
			t.Errorf("%+v, %v", o, err)
		}
		if got, err := get(t.Context(), b, "k"); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if _, err := s.client.StatObject(t.Context(), s.bucket, "k", minio.StatObjectOptions{}); err == nil {
			t.Error("the object is not encrypted")
		}
		if _, err := s.client.StatObject(t.Context(), s.bucket, "k", minio.StatObjectOptions{ServerSideEncryption: key}); err != nil {
			t.Error(err)
		}
	}
	var listed []string
	for o, err := range b.List(t.Context(), "") {
		listed = append(listed, fmt.Sprint(o.Key, o.Size, err))
	}
	if !slices.Equal(listed, []string{fmt.Sprint("k", 11*mib, nil)}) {
		t.Errorf("listed %v", listed)
	}
}
