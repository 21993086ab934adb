package awsaccess

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// tokenAnswer is an answer of STS that is an error.
func tokenAnswer(status int, code string) error {
	return &smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRoleWithWebIdentity", Err: &awshttp.ResponseError{
		ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
			Err:      &smithy.GenericAPIError{Code: code, Message: "words of the service"},
		},
	}}
}

// lasting returns credentials that last for d.
func lasting(name string, d time.Duration) aws.Credentials {
	return aws.Credentials{AccessKeyID: name, SecretAccessKey: "s", CanExpire: true, Expires: time.Now().Add(d)}
}

// While the token service is busy for a minute, the credentials at hand are used
// and nobody waits.
func TestRenewalWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		attempts := 0
		c := &credentials{keys: lasting("old", renewalMargin-time.Second), fetch: func(context.Context) (aws.Credentials, error) {
			if attempts++; time.Since(began) < time.Minute {
				return aws.Credentials{}, tokenAnswer(http.StatusServiceUnavailable, "ServiceUnavailable")
			}
			return lasting("new", time.Hour), nil
		}}
		for time.Since(began) < 2*time.Minute {
			before := time.Now()
			keys, err := c.Retrieve(t.Context())
			if err != nil || time.Since(before) > 0 {
				t.Fatalf("after %v: %v, waited %v", time.Since(began), err, time.Since(before))
			}
			if want := time.Since(began) > 80*time.Second; want && keys.AccessKeyID != "new" {
				t.Fatalf("after %v: %s", time.Since(began), keys.AccessKeyID)
			}
			time.Sleep(time.Second)
		}
		if attempts < 5 || attempts > 20 {
			t.Errorf("%d attempts in a minute", attempts)
		}
	})
}

// Without valid credentials a request waits for a service that is busy, and is told
// so when it cannot wait any longer.
func TestRetrieveWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := &credentials{id: Identity{description: "profile p"}, fetch: func(context.Context) (aws.Credentials, error) {
			if time.Since(began) < 40*time.Second {
				return aws.Credentials{}, tokenAnswer(http.StatusServiceUnavailable, "ServiceUnavailable")
			}
			return lasting("new", time.Hour), nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := c.Retrieve(ctx)
		if !errors.Is(err, endpoint.CodeBusy) || !strings.Contains(err.Error(), "profile p") || !strings.Contains(err.Error(), "words of the service") || strings.Contains(err.Error(), "deadline") {
			t.Errorf("error: %v", err)
		}
		if keys, err := c.Retrieve(t.Context()); err != nil || keys.AccessKeyID != "new" || time.Since(began) > time.Minute {
			t.Errorf("%s after %v, %v", keys.AccessKeyID, time.Since(began), err)
		}
	})
}

// A refusal is final, and yet credentials that are valid are used until they end.
func TestRenewalRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c := &credentials{keys: lasting("old", time.Minute), fetch: func(context.Context) (aws.Credentials, error) {
			attempts++
			return aws.Credentials{}, tokenAnswer(http.StatusForbidden, "AccessDenied")
		}}
		for range 59 {
			if _, err := c.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if attempts < 2 || attempts > 7 {
			t.Errorf("%d attempts", attempts)
		}
		time.Sleep(time.Second)
		before := time.Now()
		if _, err := c.Retrieve(t.Context()); !errors.Is(err, CodeRoleRefused) || time.Since(before) > 0 {
			t.Errorf("%v after %v", err, time.Since(before))
		}
	})
}

// A token service that stands still holds nobody up as long as the credentials are
// valid, and ends with the context of those who wait.
func TestRenewalStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &credentials{keys: lasting("old", time.Minute), fetch: func(ctx context.Context) (aws.Credentials, error) {
			<-ctx.Done()
			return aws.Credentials{}, ctx.Err()
		}}
		before := time.Now()
		if _, err := c.Retrieve(t.Context()); err != nil || time.Since(before) > 0 {
			t.Errorf("%v after %v", err, time.Since(before))
		}
		time.Sleep(time.Minute)
		gone, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Retrieve(gone); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := c.Retrieve(t.Context()); !errors.Is(err, CodeNoCredentials) || time.Since(before) > time.Minute+2*renewalTime {
			t.Errorf("%v after %v", err, time.Since(before))
		}
	})
}

// Many requests share one renewal, and Renew asks although the keys are valid.
func TestRenewalIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int32
		c := &credentials{fetch: func(context.Context) (aws.Credentials, error) {
			fetched.Add(1)
			time.Sleep(time.Second)
			return lasting("new", time.Hour), nil
		}}
		for range 20 {
			go func() {
				if _, err := c.Retrieve(t.Context()); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if _, err := c.Retrieve(t.Context()); err != nil || fetched.Load() != 1 {
			t.Errorf("%d requests, %v", fetched.Load(), err)
		}
		if err := Renew(t.Context(), aws.Config{Credentials: c}); err != nil || fetched.Load() != 2 {
			t.Errorf("%d requests, %v", fetched.Load(), err)
		}
	})
}
