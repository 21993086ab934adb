package awsaccess

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
)

// Every service that hands out credentials, and EC2, is given up when its answer
// stands still, before or in the middle of its body.
func TestStalledServices(t *testing.T) {
	before := tokenLimits
	tokenLimits = endpoint.Limits{Head: 100 * time.Millisecond, Body: 100 * time.Millisecond}
	defer func() { tokenLimits = before }()
	for name, c := range map[string]struct {
		body bool   // the head of the answer comes
		file string // of the location
		env  string // variable with the address of the service
		ec2  bool
	}{
		"STS without answer":    {false, "[default]\nrole_arn = r\nweb_identity_token_file = TOKEN\n", "AWS_ENDPOINT_URL_STS", false},
		"STS with half a body":  {true, "[default]\nrole_arn = r\nweb_identity_token_file = TOKEN\n", "AWS_ENDPOINT_URL_STS", false},
		"pod with half a body":  {true, "", "AWS_CONTAINER_CREDENTIALS_FULL_URI", false},
		"node without answer":   {false, "", "AWS_EC2_METADATA_SERVICE_ENDPOINT", false},
		"node with half a body": {true, "", "AWS_EC2_METADATA_SERVICE_ENDPOINT", false},
		"EC2 with half a body":  {true, "[default]\naws_access_key_id = a\naws_secret_access_key = b\n", "AWS_ENDPOINT_URL_EC2", true},
	} {
		t.Run(name, func(t *testing.T) {
			awsfake.ClearEnvironment(t)
			ended := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if c.body {
					w.Header().Set("Content-Length", "1000")
					_, _ = io.WriteString(w, "<half")
					_ = http.NewResponseController(w).Flush()
				}
				select {
				case <-r.Context().Done():
				case <-ended:
				}
			}))
			defer server.Close()
			defer close(ended)
			t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(c.env, server.URL)
			transport, err := endpoint.NewTransport(endpoint.Trust{})
			if err != nil {
				t.Fatal(err)
			}
			transport.BodyTime = 100 * time.Millisecond
			cfg := configOf(t, transport, c.file)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if c.ec2 {
				_, err = ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.RetryMaxAttempts = 1 }).DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
			} else {
				_, err = cfg.Credentials.(*credentials).fetch(ctx)
			}
			if err == nil || ctx.Err() != nil {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	}
}

// configOf returns the configuration of a location whose credentials file has that
// content, or of one without such a file. TOKEN in it stands for the path of a file
// with a token.
func configOf(t *testing.T, transport *endpoint.Transport, file string) aws.Config {
	t.Helper()
	var access Access
	if file != "" {
		token := testfile.Write(t, "t")
		t.Setenv(credpolicy.TokenFilesVariable, token)
		access.CredentialsFile = testfile.Write(t, strings.ReplaceAll(file, "TOKEN", token))
	}
	id, err := access.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := id.Config(t.Context(), NewClient(transport), "")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
