package images

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/registrytree"
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

// TestVeleroIsKilled kills the server while a plugin copies images. The plugin
// ends, and the server that comes next backs up what this one could not.
func TestVeleroIsKilled(t *testing.T) {
	ctx := newContext(t)
	s, random := newScene(ctx, t, "killed"), randomness(t)
	a := newApp(ctx, t, s.one, "killed", 4500, 3, smallLayer)
	killed := make(chan struct{})
	s.proxy.Inject(1, anywhere(1+random.IntN(20)), inject.Before(func() {
		s.velero.Kill()
		close(killed)
	}))
	backups := s.velero.Resource("backups")
	_, err := backups.Create(ctx, veleroBackup("killed", imageStreams(s.location, a.namespace)), metav1.CreateOptions{})
	must(t, err)
	select {
	case <-killed:
	case <-ctx.Done():
		t.Fatal("the backup has not come to the request at which the server was to be killed")
	}
	must(t, stack.Await(ctx, func() error {
		left, err := stack.ProcessesUnder(s.velero.PluginDir)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("plugin processes %v have outlived the server", left)
		}
		return err
	}))
	mustBeIndexed(t, s.tree(ctx, t, s.bucket))

	must(t, s.velero.Restart(ctx))
	must(t, stack.Await(ctx, func() error {
		found, err := backups.Get(ctx, "killed", metav1.GetOptions{})
		if err == nil && stack.Phase(found) != "Failed" {
			err = fmt.Errorf("the backup is %s", stack.Phase(found))
		}
		return err
	}))
	backup(ctx, t, s.velero, "killed-again", s.location, a.namespace)
	mustBeIndexed(t, s.tree(ctx, t, s.bucket))
	must(t, s.one.loseImages(ctx))
	restore(ctx, t, s.velero, "killed-again", "killed-again", map[string]any{"killed": "killed-back"})
	a.mustBeBack(ctx, t, s.one, "killed-back")
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
