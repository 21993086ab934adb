package s3_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// directoryBucket is a bucket of S3 Express One Zone: requests carry a session of
// the bucket, and uploads a checksum.
type directoryBucket struct {
	mu       sync.Mutex
	refusals []string
}

const expressToken = "express-session-token"

func (b *directoryBucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	query := r.URL.Query()
	if query.Has("session") {
		fmt.Fprintf(w, `<CreateSessionResult><Credentials><AccessKeyId>EXPRESS</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></CreateSessionResult>`,
			expressToken, time.Now().Add(5*time.Minute).UTC().Format(time.RFC3339))
		return
	}
	refuse := func(reason string) {
		b.refusals = append(b.refusals, reason)
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "<Error><Code>InvalidRequest</Code><Message>%s</Message></Error>", reason)
	}
	upload := r.Method == http.MethodPut
	switch {
	case r.Header.Get("X-Amz-S3session-Token") != expressToken:
		refuse("no session")
	case upload && r.Header.Get("X-Amz-Checksum-Crc32") == "":
		refuse("no checksum")
	case upload && r.Header.Get("Content-Md5") != "":
		refuse("Content-MD5")
	case r.Method == http.MethodPost && query.Has("uploads"):
		if r.Header.Get("X-Amz-Checksum-Algorithm") != "CRC32" {
			refuse("no algorithm")
			return
		}
		fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
	case r.Method == http.MethodPost:
		fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
	case upload:
		w.Header().Set("ETag", `"x"`)
	}
}

// Directory buckets refuse uploads without a checksum, whatever the configuration
// says.
func TestDirectoryBucket(t *testing.T) {
	bare(t)
	b := &directoryBucket{}
	server := httptest.NewServer(b)
	defer server.Close()
	const bucket = "backups--use1-az4--x-s3"
	for _, algorithm := range []string{"-", "", "CRC32"} {
		config := map[string]string{
			"bucket": bucket, "prefix": "", "region": "us-east-1", "s3Url": server.URL, "s3ForcePathStyle": "true",
			"credentialsFile": credentialsFile(t, "A", "B"), "checksumAlgorithm": algorithm,
		}
		if algorithm == "-" {
			delete(config, "checksumAlgorithm")
		}
		store := newStore(t, config)
		for _, size := range []int{10, partSize + 1} {
			if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: bucket, Key: "k", Body: bytes.NewReader(random(size))}); err != nil {
				t.Errorf("checksumAlgorithm %q, %d bytes: %v", algorithm, size, err)
			}
		}
	}
	if len(b.refusals) > 0 {
		t.Errorf("refused: %s", strings.Join(b.refusals, ", "))
	}
}
