package s3_test

import (
	"bytes"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// chunked delivers a body in the pieces in which Velero sends it.
type chunked struct{ r io.Reader }

func (c chunked) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), 16<<10)]) }

func BenchmarkStore(b *testing.B) {
	body := random(256 << 20)
	for _, secure := range []bool{overHTTP, overTLS} {
		s := newScene(b, secure)
		for name, changes := range map[string][]string{
			"default":     {"multipartPartSizeMiB", "-"},
			"no checksum": {"multipartPartSizeMiB", "-", "checksumAlgorithm", ""},
		} {
			store := s.store(changes...)
			name += map[bool]string{overHTTP: " http", overTLS: " https"}[secure]
			b.Run("put "+name, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				defer reportCPU(b, len(body))()
				for b.Loop() {
					if _, err := store.PutObject(b.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: chunked{bytes.NewReader(body)}}); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("get "+name, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				buf := make([]byte, 32<<10)
				defer reportCPU(b, len(body))()
				for b.Loop() {
					object, err := store.GetObject(b.Context(), sdk.GetObjectInput{Bucket: s.bucket, Key: "k"})
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, object.Body, buf)
					if err != nil || n != int64(len(body)) {
						b.Fatal(n, err)
					}
					object.Body.Close()
				}
			})
			b.Run("put 16K "+name, func(b *testing.B) {
				defer reportCPU(b, 0)()
				for b.Loop() {
					if _, err := store.PutObject(b.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: bytes.NewReader(body[:16<<10])}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// reportCPU reports the CPU time that this process takes for each GiB, or for
// each call when size is 0, and its memory.
func reportCPU(b *testing.B, size int) func() {
	before := cpuTime()
	return func() {
		spent := cpuTime() - before
		if size > 0 {
			b.ReportMetric(spent.Seconds()/(float64(b.N)*float64(size)/(1<<30)), "cpu-s/GiB")
		} else {
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-us/op")
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
