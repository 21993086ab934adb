package plugintest

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// shortLife is the lifetime of the URL that the row lets expire.
const shortLife = 3 * time.Second

func signedURL(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{"plain", "a+b c/ü%2F日本"} {
		body, err := put(ctx, st, s.key(name), 100_000)
		if err != nil {
			return err
		}
		url, err := st.SignedURL(ctx, s.key(name), 10*time.Minute)
		if status.Code(err) == codes.Unimplemented {
			return notHere{fmt.Errorf("the store does not sign URLs: %w", err)}
		}
		if err != nil {
			return err
		}
		if err := s.fetch(ctx, url, body); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	url, err := st.SignedURL(ctx, s.key("plain"), shortLife)
	if err != nil {
		return err
	}
	return eventually(ctx, shortLife+soon, func() error {
		answer, err := s.get(ctx, url)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode < 300 {
			return fmt.Errorf("the URL still works though its time of %s is over", shortLife)
		}
		return nil
	})
}

func (s *session) fetch(ctx context.Context, url string, body pattern) error {
	answer, err := s.get(ctx, url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET answers %s", answer.Status)
	}
	return body.compare(answer.Body)
}

func (s *session) get(ctx context.Context, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	client := s.plugin.Store.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	return client.Do(request)
}
