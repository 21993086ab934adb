package inject_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

const length = 64 << 10

// service counts its calls and answers with what it was sent.
type service struct {
	inject.Faults[string]
	calls atomic.Int32
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.Serve(w, r, r.URL.Path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, _ = w.Write(body)
	}))
}

func start(t *testing.T, secure bool) (*service, func(ctx context.Context, path string) ([]byte, error)) {
	s := new(service)
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = nil
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		s.End()
		server.Close()
	})
	client := server.Client()
	client.Transport.(*http.Transport).DisableKeepAlives = true // no attempt of net/http's own
	return s, func(ctx context.Context, path string) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+path, bytes.NewReader(make([]byte, length)))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		return io.ReadAll(response.Body)
	}
}

// What a client sees of each fault, and whether the service did what was asked.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  inject.Fault
		calls  int32
		read   int // bytes of the answer that may arrive
		broken bool
	}{
		{"Drop", inject.Drop(), 0, 0, true},
		{"ResetRequest", inject.ResetRequest(1000), 0, 0, true},
		{"LoseAnswer", inject.LoseAnswer(), 1, 0, true},
		{"ResetResponse", inject.ResetResponse(1000), 1, 1000, true},
		{"CutShort", inject.CutShort(), 1, length / 2, true},
		{"Before", inject.Before(func() {}), 1, length, false},
		{"Damage", inject.Damage(), 1, length, false},
	} {
		for _, secure := range []bool{false, true} {
			name := c.name
			if secure {
				name += " over TLS"
			}
			t.Run(name, func(t *testing.T) {
				s, post := start(t, secure)
				s.Inject(1, func(path string) bool { return path == "/a" }, c.fault)
				if body, err := post(t.Context(), "/b"); err != nil || len(body) != length {
					t.Fatalf("a call that does not match: %d bytes, %v", len(body), err)
				}
				s.calls.Store(0)
				body, err := post(t.Context(), "/a")
				if (err != nil) != c.broken {
					t.Errorf("%v", err)
				}
				if len(body) > c.read || !c.broken && len(body) < c.read {
					t.Errorf("%d bytes, want %d", len(body), c.read)
				}
				if calls := s.calls.Load(); calls != c.calls {
					t.Errorf("the service was called %d times, want %d", calls, c.calls)
				}
				if changed := err == nil && !bytes.Equal(body, make([]byte, length)); changed != (c.name == "Damage") {
					t.Errorf("damaged: %v", changed)
				}
				if body, err := post(t.Context(), "/a"); err != nil || len(body) != length {
					t.Errorf("after the fault: %d bytes, %v", len(body), err)
				}
			})
		}
	}
}

// A request that is held ends with its client, and with the fake.
func TestStallsEnd(t *testing.T) {
	for name, fault := range map[string]inject.Fault{"Stall": inject.Stall(), "StallResponse": inject.StallResponse(1000)} {
		t.Run(name, func(t *testing.T) {
			s, post := start(t, false)
			held := make(chan struct{}, 1)
			s.Inject(inject.Always, func(string) bool { return true }, func(w http.ResponseWriter, r *http.Request, service http.Handler) {
				defer func() {
					held <- struct{}{}
					panic(recover())
				}()
				fault(w, r, service)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := post(ctx, "/"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			<-held
			ended := make(chan error, 1)
			go func() {
				_, err := post(t.Context(), "/")
				ended <- err
			}()
			s.End()
			<-held
			if err := <-ended; err == nil {
				t.Error("a request was answered that was to be held")
			}
			s.Heal()
			if body, err := post(t.Context(), "/"); err != nil || len(body) != length {
				t.Errorf("after Heal: %d bytes, %v", len(body), err)
			}
		})
	}
}

// The first of several faults applies until it is used up.
func TestOrder(t *testing.T) {
	s, post := start(t, false)
	all := func(string) bool { return true }
	answer := func(text string) inject.Fault {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { _, _ = io.WriteString(w, text) }
	}
	s.Inject(2, all, answer("1"))
	s.Inject(1, all, answer("2"))
	var got strings.Builder
	for range 4 {
		body, err := post(t.Context(), "/")
		if err != nil {
			t.Fatal(err)
		}
		got.Write(body[:1])
	}
	if got.String() != "112\x00" {
		t.Errorf("%q", got.String())
	}
}
