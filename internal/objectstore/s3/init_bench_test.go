package s3_test

import (
	"log/slog"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// systemBundle is where Debian keeps the certificates of its authorities.
const systemBundle = "/etc/ssl/certs/ca-certificates.crt"

// BenchmarkInit measures the first Init of a process, which Velero starts every
// minute, without and with a bundle of authorities as the OADP operator sets it.
func BenchmarkInit(b *testing.B) {
	for _, c := range []struct{ name, url, bundle string }{
		{"http", "http://127.0.0.1:9", ""},
		{"http with bundle", "http://127.0.0.1:9", systemBundle},
		{"https with bundle", "https://127.0.0.1:9", systemBundle},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.Setenv("AWS_CA_BUNDLE", c.bundle)
			b.Setenv("AWS_ACCESS_KEY_ID", "id")
			b.Setenv("AWS_SECRET_ACCESS_KEY", "key")
			b.ReportAllocs()
			for b.Loop() {
				store := s3.New(slog.New(slog.DiscardHandler))
				if _, err := store.Init(b.Context(), sdk.InitInput{Config: map[string]string{
					"bucket": "b", "prefix": "", "region": "minio", "s3Url": c.url, "s3ForcePathStyle": "true",
				}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
