package endpoint

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// A body that stands still is given up; one that is slow or not read is not.
func TestDo(t *testing.T) {
	const limit = 200 * time.Millisecond
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w).Flush
		for range 4 {
			io.WriteString(w, "x")
			_ = flush()
			if r.URL.Path == "/slow" {
				time.Sleep(limit / 2)
			}
		}
		if r.URL.Path == "/stalls" {
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		}
	}))
	defer server.Close()
	defer close(ended)
	get := func(path string) io.ReadCloser {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := Limits{Body: limit}.Do(request, http.DefaultClient.Do)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response.Body
	}
	if data, err := io.ReadAll(get("/slow")); err != nil || string(data) != "xxxx" {
		t.Errorf("slow body: %q, %v", data, err)
	}
	unread := get("/all")
	time.Sleep(2 * limit)
	if data, err := io.ReadAll(unread); err != nil || string(data) != "xxxx" {
		t.Errorf("body that waited: %q, %v", data, err)
	}
	if data, err := io.ReadAll(get("/stalls")); !errors.Is(err, ErrStalled) || string(data) != "xxxx" {
		t.Errorf("body that stalls: %q, %v", data, err)
	}
}

// A server that does not answer is given up; one that is waited for is not.
func TestDoWithoutAnswer(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stalls" {
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		}
	}))
	defer server.Close()
	defer close(ended)
	for path, limits := range map[string]Limits{
		"/stalls": {Head: 50 * time.Millisecond, Body: time.Minute},
		"/":       {Head: time.Minute, Body: time.Minute},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := limits.Do(request, http.DefaultClient.Do)
		if err == nil {
			_, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		if errors.Is(err, ErrStalled) != (path == "/stalls") || path == "/" && err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestWriteGuard(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := &writeGuard{ours, 50 * time.Millisecond}
	defer c.Close()
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write that nobody reads: %v", err)
	}
	go io.Copy(io.Discard, theirs)
	if n, err := c.Write([]byte("xyz")); n != 3 || err != nil {
		t.Errorf("next write: %d, %v", n, err)
	}
}
