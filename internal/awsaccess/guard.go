package awsaccess

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/oadp-plugins/oadp-plugins/internal/stall"
)

// Guarded returns a client whose response bodies fail when a read makes no
// progress.
func Guarded(client aws.HTTPClient) aws.HTTPClient { return readGuard{client} }

type readGuard struct{ client aws.HTTPClient }

// Do implements aws.HTTPClient.
func (g readGuard) Do(r *http.Request) (*http.Response, error) {
	return stall.Limits{Body: stall.Limit}.Do(r, g.client.Do)
}
