package images

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	fakes "github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// breakage is something that breaks in the middle of a copy.
type breakage struct {
	name string
	// happen lets it happen at the nth request about images, or at another one
	// if it says so, and calls done then.
	happen func(ctx context.Context, s *scene, n int, done func())
	layer  int64  // size of the layer that all images have
	want   string // phase of the backup or restore; "" is any
}

func breakages() []breakage {
	return []breakage{
		{"plugin killed, its request lost", killing(anywhere, inject.ResetRequest(0)), smallLayer, "PartiallyFailed"},
		{"plugin killed, its request answered", killing(anywhere, inject.LoseAnswer()), smallLayer, "PartiallyFailed"},
		{"plugin killed while the bucket stands still", killing(anywhere, inject.Stall()), smallLayer, "PartiallyFailed"},
		{"bucket gone", bucketGone(inject.Always), smallLayer, "PartiallyFailed"},
		{"bucket gone for a moment", bucketGone(1), smallLayer, "Completed"},
		{"store killed", storeKilled, smallLayer, ""},
		{"registry killed", registryKilled, smallLayer, "Completed"},
		{"tokens replaced", tokensReplaced, smallLayer, "Completed"},
	}
}

// inUploads happen while a layer is on its way to the bucket.
func inUploads() []breakage {
	part, commit := s3proxy.Part(2), s3proxy.Operations("CompleteMultipartUpload")
	return []breakage{
		{"plugin killed in an upload", killing(in(part), inject.LoseAnswer()), largeLayer, "PartiallyFailed"},
		{"plugin killed at the end of an upload", killing(in(commit), inject.ResetRequest(0)), largeLayer, "PartiallyFailed"},
	}
}

// inPushes happen while tags are on their way to the registry.
func inPushes() []breakage {
	return []breakage{{"plugin killed between two tags", killingAtTag, smallLayer, "PartiallyFailed"}}
}

// anywhere matches the requests about images from the nth on.
func anywhere(n int) s3proxy.Match {
	seen := 0
	return func(r s3proxy.Request) bool {
		if !ofImages(r) {
			return false
		}
		seen++
		return seen >= n
	}
}

// in matches requests about images that another matches too.
func in(when s3proxy.Match) func(int) s3proxy.Match {
	return func(int) s3proxy.Match {
		return func(r s3proxy.Request) bool { return ofImages(r) && when(r) }
	}
}

// killing kills the plugin at a request, which has the given fate.
func killing(when func(n int) s3proxy.Match, fate inject.Fault) func(context.Context, *scene, int, func()) {
	return func(_ context.Context, s *scene, n int, done func()) {
		s.proxy.Inject(1, when(n), func(w http.ResponseWriter, r *http.Request, service http.Handler) {
			if err := killPlugins(s.velero); err != nil {
				s.t.Error(err)
			}
			done()
			fate(w, r, service)
		})
	}
}

// killPlugins kills the processes of the openshift plugin.
func killPlugins(velero *stack.Velero) error {
	pids, err := stack.ProcessesUnder(velero.PluginDir)
	if err != nil {
		return err
	}
	killed := 0
	for _, pid := range pids {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err == nil && filepath.Base(exe) == "velero-plugins" && unix.Kill(pid, unix.SIGKILL) == nil {
			killed++
		}
	}
	if killed == 0 {
		return fmt.Errorf("none of the plugin processes %v is that of the openshift plugin", pids)
	}
	return nil
}

// bucketGone resets the connections of so many requests about images.
func bucketGone(times int) func(context.Context, *scene, int, func()) {
	return func(_ context.Context, s *scene, n int, done func()) {
		s.proxy.Inject(times, anywhere(n), func(w http.ResponseWriter, r *http.Request, service http.Handler) {
			done()
			inject.ResetRequest(100)(w, r, service)
		})
	}
}

// storeKilled kills the store while it serves a request, and starts it again.
// Whether that is soon enough for all who wait is a matter of luck.
func storeKilled(ctx context.Context, s *scene, n int, done func()) {
	s.proxy.Inject(1, anywhere(n), func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		s.store.KillTLS()
		if err := s.store.StartTLS(ctx); err != nil {
			s.t.Error(err)
		}
		done()
		inject.ResetRequest(0)(w, r, service)
	})
}

// killingAtTag kills the plugin when it pushes one of the images of a tag.
func killingAtTag(_ context.Context, s *scene, n int, done func()) {
	when := nth(1+n%3, fakes.Requests(http.MethodPut, "/manifests/v1$"))
	s.one.registry.Inject(1, when, func(w http.ResponseWriter, r *http.Request, answer http.Handler) {
		if err := killPlugins(s.velero); err != nil {
			s.t.Error(err)
		}
		done()
		answer.ServeHTTP(w, r)
	})
}

// registryKilled kills the registry while it answers a request for a blob, and
// starts it again.
func registryKilled(ctx context.Context, s *scene, n int, done func()) {
	when := nth(1+n%3, fakes.Requests("", "/blobs/"))
	s.one.registry.Inject(1, when, func(w http.ResponseWriter, r *http.Request, answer http.Handler) {
		defer func() {
			if err := s.one.backend.Start(ctx); err != nil {
				s.t.Error(err)
			}
			done()
		}()
		answer.ServeHTTP(&ending{w, func() {
			s.one.backend.Kill()
			if r.Method != http.MethodGet {
				panic(http.ErrAbortHandler) // there is no body to break off
			}
		}}, r)
	})
}

// nth matches the requests to the registry from the nth on that another matches.
func nth(n int, when func(*http.Request) bool) func(*http.Request) bool {
	seen := 0
	return func(r *http.Request) bool {
		if !when(r) {
			return false
		}
		seen++
		return seen >= n
	}
}

// ending does something when an answer begins.
type ending struct {
	http.ResponseWriter
	end func()
}

func (e *ending) WriteHeader(status int) {
	e.end()
	e.ResponseWriter.WriteHeader(status)
}

func (e *ending) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// tokensReplaced gives the plugin another token of the cluster, and makes the
// old one and what the registry issued for it worthless.
func tokensReplaced(ctx context.Context, s *scene, n int, done func()) {
	s.proxy.Inject(1, anywhere(n), inject.Before(func() {
		old := s.account.tokens[len(s.account.tokens)-1]
		if err := s.account.newToken(ctx); err != nil {
			s.t.Error(err)
		}
		s.one.registry.Inject(inject.Always, func(r *http.Request) bool {
			_, token, _ := r.BasicAuth()
			return token == old
		}, fakes.Answer(http.StatusUnauthorized, "UNAUTHORIZED"))
		s.one.registry.ExpireTokens()
		done()
	}))
}
