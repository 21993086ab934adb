package faults

import (
	"context"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

// A plugin that is killed in the middle of a call: the host learns it at once,
// and a new process serves.
func TestPluginKilledInEachCall(t *testing.T) {
	t.Parallel()
	control := newController(t)
	l := control.launch()
	for i, name := range names(start(t, l)) {
		t.Run(name, func(t *testing.T) {
			p := start(t, l)
			c := everyCall(p)[i]
			err := within(t, promptly, name, func() error {
				failed := make(chan error, 1)
				go func() { failed <- c.do(t.Context()) }()
				if at := control.next(); at.method != c.method {
					t.Errorf("the plugin is in %s, not in %s", at.method, c.method)
				}
				if err := p.Kill(); err != nil {
					t.Error(err)
				}
				return <-failed
			})
			if status.Code(err) != codes.Unavailable {
				t.Errorf("the host got %v, want Unavailable", err)
			}
		})
	}
	answersAll(t, control, start(t, l))
}

func names(p *host.Plugin) []string {
	var names []string
	for _, c := range everyCall(p) {
		names = append(names, c.name)
	}
	return names
}

// answersAll fails unless each call succeeds.
func answersAll(t *testing.T, control *controller, p *host.Plugin) {
	t.Helper()
	for _, c := range everyCall(p) {
		err := within(t, promptly, c.name, func() error {
			done := make(chan error, 1)
			go func() { done <- c.do(t.Context()) }()
			control.next().tell(t, "go")
			return <-done
		})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A plugin that is asked to end in the middle of a call: the call's context
// ends, the host gets an error, and the process is gone before the host would
// kill it.
func TestPluginEndedInEachCall(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*host.Plugin) error{
		"SIGTERM": func(p *host.Plugin) error { return p.Signal(syscall.SIGTERM) },
		"Shutdown": func(p *host.Plugin) error {
			_, err := p.Call(context.Background(), "plugin.GRPCController", "Shutdown", nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			control := newController(t)
			l := control.launch()
			for i, name := range names(start(t, l)) {
				p := start(t, l)
				failed := make(chan error, 1)
				go func() { failed <- everyCall(p)[i].do(t.Context()) }()
				control.next()
				if err := end(p); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if err := p.Ended(promptly); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := <-failed; err == nil {
					t.Errorf("%s: no error", name)
				}
			}
		})
	}
}

// A method that does not heed the end of its context must not keep the process.
func TestPluginEndsWithAHangingCall(t *testing.T) {
	t.Parallel()
	control := newController(t)
	p := start(t, control.launch())
	hang := func(name string) <-chan error {
		failed := make(chan error, 1)
		go func() {
			for _, c := range everyCall(p) {
				if c.name == name {
					failed <- c.do(t.Context())
				}
			}
		}()
		control.next().tell(t, "hang")
		return failed
	}
	failures := []<-chan error{hang("v2.BackupItemAction.Execute"), hang("ObjectStore.PutObject")}
	began := time.Now()
	p.Stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the host had to kill the plugin, after %v", took)
	}
	for _, failed := range failures {
		if err := <-failed; err == nil {
			t.Error("no error")
		}
	}
}

// gate holds the first request that matches until the test lets it go, and
// tells when it has come.
type gate struct {
	come chan struct{}
	free chan struct{}
}

// hold lets a request wait. It never reaches the server: its sender is dead.
func (b *bucket) hold(when s3proxy.Match) gate {
	g := gate{make(chan struct{}), make(chan struct{})}
	b.proxy.Inject(1, when, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		close(g.come)
		<-g.free
		panic(http.ErrAbortHandler)
	})
	return g
}

// A plugin that is killed while it talks to its bucket: nothing truncated is
// visible, an old object stays, and a new process works with the same
// configuration.
func TestPluginKilledAtTheBucket(t *testing.T) {
	t.Parallel()
	small, large := host.Body{Seed: 1, Size: 100_000}, host.Body{Seed: 2, Size: 23 << 20}
	old := host.Body{Seed: 3, Size: 5000}
	put := func(body host.Body) func(context.Context, host.Store, string) error {
		return func(ctx context.Context, s host.Store, key string) error { return s.Put(ctx, key, body.Reader()) }
	}
	get := func(ctx context.Context, s host.Store, key string) error { return fetch(ctx, s, key, old) }
	for _, c := range []struct {
		name string
		when s3proxy.Match
		do   func(context.Context, host.Store, string) error
	}{
		{"put of one part", s3proxy.Operations("PutObject"), put(small)},
		{"first request of a put", s3proxy.Operations("CreateMultipartUpload"), put(large)},
		{"a part of a put", s3proxy.Part(3), put(large)},
		{"last request of a put", s3proxy.Operations("CompleteMultipartUpload"), put(large)},
		{"get", s3proxy.Operations("GetObject"), get},
		{"exists", s3proxy.Operations("HeadObject"), func(ctx context.Context, s host.Store, key string) error {
			_, err := s.Exists(ctx, key)
			return err
		}},
		{"list", s3proxy.Operations("ListObjectsV2"), func(ctx context.Context, s host.Store, _ string) error {
			_, err := s.List(ctx, "")
			return err
		}},
		{"prefixes", s3proxy.Operations("ListObjectsV2"), func(ctx context.Context, s host.Store, _ string) error {
			_, err := s.Prefixes(ctx, "", "/")
			return err
		}},
		{"delete", s3proxy.Operations("DeleteObject"), func(ctx context.Context, s host.Store, key string) error {
			return s.Delete(ctx, key)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			b.add("replaced", old)
			l := launch(t, awsPlugin(t))
			for _, key := range []string{"replaced", "fresh"} {
				p := start(t, l)
				s := b.open(p)
				g := b.hold(c.when)
				err := within(t, promptly, c.name, func() error {
					failed := make(chan error, 1)
					go func() { failed <- c.do(t.Context(), s, key) }()
					<-g.come
					if err := p.Kill(); err != nil {
						t.Error(err)
					}
					return <-failed
				})
				close(g.free)
				if status.Code(err) != codes.Unavailable {
					t.Errorf("the host got %v, want Unavailable", err)
				}
			}
			b.holds("replaced", old)
			b.lacks("fresh")
			b.works(b.open(start(t, l)))
		})
	}
}

// A plugin that is killed in the middle of a get: what has arrived does not look
// like the whole object.
func TestPluginKilledInAGet(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	body := host.Body{Seed: 4, Size: 40 << 20}
	b.add("object", body)
	p := start(t, launch(t, awsPlugin(t)))
	object, err := b.open(p).Get(t.Context(), "object")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, object, 20<<20); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	err = within(t, promptly, "reading on", func() error {
		_, err := io.Copy(io.Discard, object)
		return err
	})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the host got %v, want Unavailable", err)
	}
}
