package conformance

import (
	"encoding/base64"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	miniogo "github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// TestAWSByHand runs the plugin as an administrator does, against locations that
// work and locations that are broken in one place each.
func TestAWSByHand(t *testing.T) {
	minio := servers.MinIO(t)
	bucket := minio.NewBucket(t)
	plugin := build(t, "velero-plugin-for-aws", "./plugins/aws")
	run := func(args ...string) (string, error) {
		command := exec.Command(plugin, args...)
		command.Env = environment(t)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	for _, c := range []struct{ command, want string }{
		{"version", "velero-plugin-for-aws "},
		{"config", "checksumAlgorithm"},
	} {
		if out, err := run(c.command); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v, %s", c.command, err, out)
		}
	}

	ca := base64.StdEncoding.EncodeToString(minio.CAPEM)
	for _, c := range []struct {
		name                 string
		endpoint, bucket, ca string
		keyID, key           string
		broken, code         string // the step that fails, and the error's code
		says                 string // what else is in the output
	}{
		{"works", minio.TLSEndpoint, bucket, ca, minio.AccessKey, minio.SecretKey, "", "", "ok    delete"},
		{"works without TLS", minio.Endpoint, bucket, "", minio.AccessKey, minio.SecretKey, "", "", "ok    delete"},
		{"stopped server", "https://" + freeAddress(t), bucket, ca, minio.AccessKey, minio.SecretKey, "TLS", "ENDPOINT_REFUSED", "s3Url"},
		{"unknown host", "https://nowhere.invalid", bucket, ca, minio.AccessKey, minio.SecretKey, "DNS", "", "nowhere.invalid"},
		{"untrusted CA", minio.TLSEndpoint, bucket, "", minio.AccessKey, minio.SecretKey, "TLS", "ENDPOINT_CERTIFICATE_UNTRUSTED", "caCert"},
		{"unknown key", minio.TLSEndpoint, bucket, ca, "nobody", minio.SecretKey, "bucket", "AWS_UNKNOWN_ACCESS_KEY", "aws_access_key_id"},
		{"wrong key", minio.TLSEndpoint, bucket, ca, minio.AccessKey, "wrong", "bucket", "AWS_SIGNATURE_MISMATCH", "aws_secret_access_key"},
		{"wrong bucket", minio.TLSEndpoint, "no-such-bucket", ca, minio.AccessKey, minio.SecretKey, "bucket", "S3_NO_SUCH_BUCKET", "no-such-bucket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := run("check", "--location", locationFile(t, c.endpoint, c.bucket, c.ca, stack.Region),
				"--credentials-file", credentialsFile(t, c.keyID, c.key))
			step := ""
			if _, failed, ok := strings.Cut(out, "  FAIL  "); ok {
				step, _, _ = strings.Cut(failed, " ")
			}
			if step != c.broken || (err != nil) != (c.broken != "") {
				t.Errorf("broken step %q, want %q; %v", step, c.broken, err)
			}
			if !strings.Contains(out, c.code) || !strings.Contains(out, c.says) || strings.Contains(out, minio.SecretKey) {
				t.Errorf("want %s and %q in\n%s", c.code, c.says, out)
			}
		})
	}
	out, err := run("check", "--location", locationFile(t, minio.TLSEndpoint, bucket, ca, "elsewhere"),
		"--credentials-file", credentialsFile(t, minio.AccessKey, minio.SecretKey))
	if err == nil || !strings.Contains(out, "S3_WRONG_REGION") || !strings.Contains(out, "set region to "+stack.Region) {
		t.Errorf("wrong region: %v, %s", err, out)
	}
	client, err := minio.Client(minio.TLSEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	for left := range client.ListObjectsIter(t.Context(), bucket, miniogo.ListObjectsOptions{Recursive: true}) {
		t.Errorf("left in the bucket: %s, %v", left.Key, left.Err)
	}
}

func locationFile(t *testing.T, endpoint, bucket, ca, region string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/bsl.yaml")
	if err != nil {
		t.Fatal(err)
	}
	content := strings.NewReplacer("ENDPOINT", endpoint, "BUCKET", bucket, "caCert: CA", "caCert: "+ca, "REGION", region).Replace(string(text))
	return write(t, "bsl.yaml", content)
}

func credentialsFile(t *testing.T, keyID, key string) string {
	t.Helper()
	return write(t, "cloud", "[default]\naws_access_key_id="+keyID+"\naws_secret_access_key="+key+"\n")
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// freeAddress is an address at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
