package images

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	fakes "github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/registrytree"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

var (
	seed   = flag.Uint64("seed", 0, "decides at which requests faults happen; 0 is elsewhere each time")
	rounds = flag.Int("rounds", 1, "how often each fault happens")
)

// TestFaultsInABackup breaks what a backup needs while it copies images.
// Whatever has become of that backup, nothing in the bucket refers to half a blob,
// the next backup is whole, and its images can be restored.
func TestFaultsInABackup(t *testing.T) {
	ctx := newContext(t)
	s, random := newScene(ctx, t, "faults"), randomness(t)
	whole := newApp(ctx, t, s.one, "faults", 1000, 3, smallLayer)
	backup(ctx, t, s.velero, "faults", s.location, whole.namespace)
	// The order of requests that are sent at the same time varies, and their
	// number with it.
	usual := s.imageRequests() * 3 / 4

	apps := []app{whole}
	for i, b := range slices.Repeat(append(breakages(), inUploads()...), *rounds) {
		name := fmt.Sprintf("faults-%d", i)
		a := newApp(ctx, t, s.one, name, 2000+100*uint64(i), 3, b.layer)
		apps = append(apps, a)
		s.breaks(ctx, t, b, 1+random.IntN(usual), func() *unstructured.Unstructured {
			object, err := s.velero.Backup(ctx, name+"-broken", imageStreams(s.location, name))
			must(t, err)
			return object
		})
		mustBeIndexed(t, s.tree(ctx, t, s.bucket))
		backup(ctx, t, s.velero, name, s.location, name)
		if t.Failed() {
			t.Fatalf("after %s", b.name)
		}
	}
	mustBeIndexed(t, s.tree(ctx, t, s.bucket))

	must(t, s.one.loseImages(ctx))
	for _, a := range apps {
		back := a.namespace + "-back"
		restore(ctx, t, s.velero, back, a.namespace, map[string]any{a.namespace: back})
		a.mustBeBack(ctx, t, s.one, back)
	}
	s.mustHaveDecentLog(t)
}

// mustBeIndexed expects that a clean-up will learn of each blob, whatever wrote
// it or was killed.
func mustBeIndexed(t *testing.T, tree *registrytree.Tree) {
	t.Helper()
	known := map[digest.Digest]bool{}
	for _, key := range append(tree.Keys("refs/v1/"), tree.Keys("pending/v1/")...) {
		var entry struct{ Contents []digest.Digest }
		if err := json.Unmarshal([]byte(tree.Own[key]), &entry); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		for _, d := range entry.Contents {
			known[d] = true
		}
	}
	for d := range tree.Blobs {
		if !known[d] {
			t.Errorf("blob %s is in no entry of the index", d)
		}
	}
}

// TestFaultsInARestore breaks what a restore needs while it copies images. The
// next one that may update what is there brings all of them back.
func TestFaultsInARestore(t *testing.T) {
	ctx := newContext(t)
	s, random := newScene(ctx, t, "back"), randomness(t)
	a := newApp(ctx, t, s.one, "back", 4000, 3, smallLayer)
	backup(ctx, t, s.velero, "back", s.location, a.namespace)
	must(t, s.one.loseImages(ctx))
	before := s.imageRequests()
	restore(ctx, t, s.velero, "back", "back", map[string]any{"back": "back-whole"})
	usual := (s.imageRequests() - before) * 3 / 4

	for i, b := range slices.Repeat(append(breakages(), inPushes()...), *rounds) {
		name := fmt.Sprintf("back-%d", i)
		spec := map[string]any{"backupName": "back", "namespaceMapping": map[string]any{"back": name}}
		s.breaks(ctx, t, b, 1+random.IntN(usual), func() *unstructured.Unstructured {
			object, err := s.velero.Restore(ctx, name+"-broken", spec)
			must(t, err)
			return object
		})
		spec["existingResourcePolicy"] = "update"
		object, err := s.velero.Restore(ctx, name, spec)
		must(t, err)
		mustComplete(ctx, t, s.velero, object)
		a.mustBeBack(ctx, t, s.one, name)
		if t.Failed() {
			t.Fatalf("after %s", b.name)
		}
	}
	s.mustHaveDecentLog(t)
}

// breaks lets something break at the nth request while a backup or restore runs.
func (s *scene) breaks(ctx context.Context, t *testing.T, b breakage, n int, run func() *unstructured.Unstructured) {
	t.Helper()
	var happened atomic.Bool
	b.happen(ctx, s, n, func() { happened.Store(true) })
	object := run()
	s.proxy.Reset()
	s.one.registry.Heal()
	if phase := stack.Phase(object); !happened.Load() || b.want != "" && phase != b.want {
		t.Errorf("%s, at request %d: happened: %t; %s is %s, want %s", b.name, n, happened.Load(), object.GetName(), phase, b.want)
		for _, line := range complaints(ctx, t, s.velero, object) {
			t.Log(line)
		}
	}
}

func randomness(t *testing.T) *rand.Rand {
	t.Helper()
	chosen := *seed
	if chosen == 0 {
		chosen = rand.Uint64()
	}
	t.Logf("-seed %d", chosen)
	return rand.New(rand.NewPCG(chosen, 0))
}

// Layers that are sent to the bucket at once and in several parts, in bytes.
const (
	smallLayer = 200_000
	largeLayer = 12 << 20
)

// scene is the world with a bucket behind a proxy.
type scene struct {
	*world
	t                *testing.T
	bucket, location string
	proxy            *s3proxy.Proxy
}

func newScene(ctx context.Context, t *testing.T, name string) *scene {
	t.Helper()
	w := theWorld(t)
	s := &scene{world: w, t: t, bucket: w.store.NewBucket(t), location: name}
	s.proxy = s3proxy.NewTLS(t, w.store.TLSEndpoint, w.store.Transport())
	location := w.location(name, s.bucket)
	location.Config["s3Url"], location.CAPEM = s.proxy.URL, s.proxy.CAPEM
	location.Config["multipartPartSizeMiB"] = "5"
	location.ValidationPeriod = time.Hour // and not while the store is gone
	w.newLocation(ctx, t, location)
	return s
}

// ofImages matches requests to the bucket that are about images.
func ofImages(r s3proxy.Request) bool {
	return strings.HasPrefix(r.Key, "docker/") || strings.HasPrefix(r.Query.Get("prefix"), "docker/")
}

func (s *scene) imageRequests() int {
	n := 0
	for _, r := range s.proxy.Requests() {
		if ofImages(r) {
			n++
		}
	}
	return n
}

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
		{"plugin killed, its request lost", killing(anywhere, s3proxy.ResetRequest(0)), smallLayer, "PartiallyFailed"},
		{"plugin killed, its request answered", killing(anywhere, s3proxy.LoseAnswer()), smallLayer, "PartiallyFailed"},
		{"plugin killed while the bucket stands still", killing(anywhere, s3proxy.Stall()), smallLayer, "PartiallyFailed"},
		{"bucket gone", bucketGone(s3proxy.Always), smallLayer, "PartiallyFailed"},
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
		{"plugin killed in an upload", killing(in(part), s3proxy.LoseAnswer()), largeLayer, "PartiallyFailed"},
		{"plugin killed at the end of an upload", killing(in(commit), s3proxy.ResetRequest(0)), largeLayer, "PartiallyFailed"},
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
func killing(when func(n int) s3proxy.Match, fate s3proxy.Fault) func(context.Context, *scene, int, func()) {
	return func(_ context.Context, s *scene, n int, done func()) {
		s.proxy.Inject(1, when(n), func(p *s3proxy.Proxy, w http.ResponseWriter, r *http.Request) {
			if err := killPlugins(s.velero); err != nil {
				s.t.Error(err)
			}
			done()
			fate(p, w, r)
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
		s.proxy.Inject(times, anywhere(n), func(p *s3proxy.Proxy, w http.ResponseWriter, r *http.Request) {
			done()
			s3proxy.ResetRequest(100)(p, w, r)
		})
	}
}

// storeKilled kills the store while it serves a request, and starts it again.
// Whether that is soon enough for all who wait is a matter of luck.
func storeKilled(ctx context.Context, s *scene, n int, done func()) {
	s.proxy.Inject(1, anywhere(n), func(p *s3proxy.Proxy, w http.ResponseWriter, r *http.Request) {
		s.store.KillTLS()
		if err := s.store.StartTLS(ctx); err != nil {
			s.t.Error(err)
		}
		done()
		s3proxy.ResetRequest(0)(p, w, r)
	})
}

// killingAtTag kills the plugin when it pushes one of the images of a tag.
func killingAtTag(_ context.Context, s *scene, n int, done func()) {
	when := nth(1+n%3, fakes.Requests(http.MethodPut, "/manifests/v1$"))
	s.one.registry.Inject(1, when, func(_ *fakes.Registry, w http.ResponseWriter, r *http.Request, answer http.HandlerFunc) {
		if err := killPlugins(s.velero); err != nil {
			s.t.Error(err)
		}
		done()
		answer(w, r)
	})
}

// registryKilled kills the registry while it answers a request for a blob, and
// starts it again.
func registryKilled(ctx context.Context, s *scene, n int, done func()) {
	when := nth(1+n%3, fakes.Requests("", "/blobs/"))
	s.one.registry.Inject(1, when, func(_ *fakes.Registry, w http.ResponseWriter, r *http.Request, answer http.HandlerFunc) {
		defer func() {
			if err := s.one.backend.Start(ctx); err != nil {
				s.t.Error(err)
			}
			done()
		}()
		answer(&ending{w, func() {
			s.one.backend.Kill()
			if r.Method != http.MethodGet {
				panic(http.ErrAbortHandler) // there is no body to break off
			}
		}}, r)
	})
}

// nth matches the requests to the registry from the nth on that another matches.
func nth(n int, when fakes.Match) fakes.Match {
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
	s.proxy.Inject(1, anywhere(n), s3proxy.Before(func() {
		old := s.account.tokens[len(s.account.tokens)-1]
		if err := s.account.newToken(ctx); err != nil {
			s.t.Error(err)
		}
		s.one.registry.Inject(fakes.Always, func(r *http.Request) bool {
			_, token, _ := r.BasicAuth()
			return token == old
		}, fakes.Answer(http.StatusUnauthorized, "UNAUTHORIZED"))
		s.one.registry.ExpireTokens()
		done()
	}))
}
