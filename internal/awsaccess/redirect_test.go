package awsaccess

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
)

// No service that hands out credentials can send the plugin on to another server,
// which would get the token of the pod or the authorization of the request.
func TestRedirectionsAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, variable string }{
		"STS":  {"[default]\nrole_arn = r\nweb_identity_token_file = TOKEN\n", "AWS_ENDPOINT_URL_STS"},
		"pod":  {"", "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		"node": {"", "AWS_EC2_METADATA_SERVICE_ENDPOINT"},
	} {
		for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			t.Run(name+" "+http.StatusText(status), func(t *testing.T) {
				awsfake.ClearEnvironment(t)
				var reached atomic.Int32
				other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
				defer other.Close()
				service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, other.URL+r.URL.Path, status)
				}))
				defer service.Close()
				t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
				t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
				t.Setenv(c.variable, service.URL)
				transport, err := endpoint.NewTransport(endpoint.Trust{})
				if err != nil {
					t.Fatal(err)
				}
				cfg := configOf(t, transport, c.file)
				_, err = cfg.Credentials.Retrieve(t.Context())
				if n := reached.Load(); n > 0 {
					t.Errorf("the other server got %d requests", n)
				}
				switch {
				case err == nil:
					t.Error("there are credentials")
				case !errors.Is(err, endpoint.CodeRedirect):
					t.Errorf("no error of a redirection: %v", err)
				case !strings.Contains(err.Error(), service.URL) || !strings.Contains(err.Error(), other.URL):
					t.Errorf("the error does not name both servers: %v", err)
				}
			})
		}
	}
}
