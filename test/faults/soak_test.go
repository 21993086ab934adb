package faults

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

var (
	soakTime = flag.Duration("soak", 0, "how long TestSoak lasts")
	soakSeed = flag.Uint64("seed", 0, "what TestSoak does; 0 is a new seed")
)

// TestSoak keeps one plugin busy for a long time, at a bucket that fails now and
// then, and starts and kills others beside it. Every byte is compared, and what
// the process holds must not grow.
func TestSoak(t *testing.T) {
	if *soakTime == 0 {
		t.Skip("make soak runs it: an hour of mixed traffic with faults")
	}
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d; -seed %d repeats the choices, though not their order in time", seed, seed)
	s := newSoak(t, seed)
	end := time.Now().Add(*soakTime)
	var group sync.WaitGroup
	for i := range s.workers {
		group.Go(func() {
			for w := s.worker(i); time.Now().Before(end) && !t.Failed(); {
				w.step()
			}
		})
	}
	group.Go(func() { s.watch(end) })
	group.Wait()
	s.summarize()
}

// soak is one run.
type soak struct {
	t       *testing.T
	bucket  *bucket
	seed    uint64
	workers int
	launch  host.Launch
	plugin  *host.Plugin // lives as long as the run
	store   host.Store

	mu      sync.Mutex
	faults  *rand.Rand
	outage  int            // requests that are still to fail
	counts  map[string]int // calls, failed calls and faults
	bytes   int64
	samples []host.Usage
}

func newSoak(t *testing.T, seed uint64) *soak {
	s := &soak{
		t: t, bucket: newBucket(t), seed: seed, workers: 4, launch: launch(t, awsPlugin(t)),
		faults: rand.New(rand.NewPCG(seed, math.MaxUint64)), counts: map[string]int{},
	}
	s.plugin = start(t, s.launch)
	s.store = s.bucket.open(s.plugin)
	s.injectFaults()
	return s
}

func (s *soak) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

// injectFaults makes one request of fifty fail, which the plugin has to make up
// for, and at times many in a row, for which calls fail. It also forgets the
// requests that the proxy has recorded.
func (s *soak) injectFaults() {
	kinds := []struct {
		name  string
		fault inject.Fault
	}{
		{"request reset", inject.ResetRequest(100_000)},
		{"answer reset", inject.ResetResponse(200_000)},
		{"answer lost", answerLost},
		{"answer cut short", cutShort(1 << 20)},
		{"slow down", s3proxy.SlowDown()},
		{"internal error", s3proxy.Answer(http.StatusInternalServerError, "InternalError", "on purpose")},
		{"throttled", throttled},
	}
	s.bucket.proxy.Reset()
	befalls := func(s3proxy.Request) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.outage == 0 && s.faults.IntN(400) == 0 {
			s.outage = 10 + s.faults.IntN(20)
			s.counts["outages"]++
		}
		if s.outage > 0 {
			s.outage--
			return true
		}
		return s.faults.IntN(50) == 0
	}
	s.bucket.proxy.Inject(inject.Always, befalls, func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		s.mu.Lock()
		kind := kinds[s.faults.IntN(len(kinds))]
		s.counts["fault: "+kind.name]++
		s.mu.Unlock()
		kind.fault(w, r, service)
	})
}

// watch takes samples until the end.
func (s *soak) watch(end time.Time) {
	every := max(*soakTime/60, 2*time.Second)
	for n := 1; time.Now().Before(end) && !s.t.Failed(); n++ {
		time.Sleep(min(every, time.Until(end)))
		usage, err := s.plugin.Usage()
		if err != nil {
			s.t.Errorf("the plugin is gone: %v", err)
			return
		}
		s.mu.Lock()
		s.samples = append(s.samples, usage)
		s.mu.Unlock()
		if n%10 == 0 {
			s.t.Logf("%v left; memory %d MiB, %d files, %d sockets, %d threads", time.Until(end).Round(time.Second),
				usage.Resident>>20, usage.Files, usage.Sockets, usage.Threads)
		}
		s.injectFaults()
	}
}

// worker has keys of its own, so that it knows what they hold.
type worker struct {
	*soak
	rng    *rand.Rand
	prefix string
	holds  map[string]host.Body
}

func (s *soak) worker(i int) *worker {
	return &worker{
		soak: s, rng: rand.New(rand.NewPCG(s.seed, uint64(i))), prefix: fmt.Sprintf("worker-%d/", i), holds: map[string]host.Body{},
	}
}

// step makes one call, which may fail for the faults. What the bucket holds is
// known after each.
func (w *worker) step() {
	name, do := w.choose()
	err := within(w.t, 5*time.Minute, name, do)
	w.count("call: " + name)
	switch {
	case errors.Is(err, errWrong):
		w.t.Errorf("%s: %v", name, err)
	case err != nil:
		w.count("failed: " + name)
	}
}

// errWrong marks what no fault excuses.
var errWrong = errors.New("wrong")

func (w *worker) choose() (string, func() error) {
	key := fmt.Sprintf("%skey-%02d", w.prefix, w.rng.IntN(20))
	switch n := w.rng.IntN(100); {
	case n < 35:
		// As many small objects as large ones.
		size := int64(math.Exp(w.rng.Float64() * math.Log(30<<20)))
		body := host.Body{Seed: w.rng.Uint64(), Size: size}
		return "put", func() error { return w.put(w.store, key, body) }
	case n < 70:
		return "get", func() error { return w.get(w.store, key) }
	case n < 80:
		return "list", w.list
	case n < 85:
		return "exists", func() error { return w.exists(key) }
	case n < 90:
		return "delete", func() error { return w.delete(key) }
	case n < 95:
		return "init", w.init
	default:
		return "start and kill", func() error { return w.startAndKill(key) }
	}
}

func (w *worker) put(s host.Store, key string, body host.Body) error {
	err := s.Put(w.t.Context(), key, body.Reader())
	if err == nil {
		w.hold(key, body)
		return nil
	}
	// The answer to a request that the server did obey may have been lost.
	return errors.Join(err, w.settle(key, body))
}

func (w *worker) hold(key string, body host.Body) {
	w.holds[key] = body
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += body.Size
}

// settle finds out what a put that failed has left: the old object or the new
// one, whole.
func (w *worker) settle(key string, body host.Body) error {
	old, had := w.holds[key]
	info, err := w.bucket.client.StatObject(w.t.Context(), w.bucket.name, key, minio.StatObjectOptions{})
	switch {
	case minio.ToErrorResponse(err).Code == minio.NoSuchKey && !had:
		return nil
	case err != nil:
		return fmt.Errorf("%w: after a put that failed: %w", errWrong, err)
	case info.Size == body.Size:
		w.holds[key] = body
	case !had || info.Size != old.Size:
		return fmt.Errorf("%w: %d bytes of %s are visible, of an upload of %d that failed", errWrong, info.Size, key, body.Size)
	}
	w.bucket.holds(key, w.holds[key])
	return nil
}

func (w *worker) get(s host.Store, key string) error {
	body, there := w.holds[key]
	object, err := s.Get(w.t.Context(), key)
	if err != nil {
		return err
	}
	err = body.Compare(object)
	switch {
	case err == nil && there:
		w.hold(key, body)
	case err == nil:
		err = fmt.Errorf("%w: got %s, which is not there", errWrong, key)
	case !there && strings.Contains(err.Error(), "NO_SUCH_KEY"):
		return nil
	case strings.Contains(err.Error(), "rpc error"):
	case there:
		err = fmt.Errorf("%w: %s: %w", errWrong, key, err)
	}
	return err
}

func (w *worker) list() error {
	keys, err := w.store.List(w.t.Context(), w.prefix)
	if err != nil {
		return err
	}
	slices.Sort(keys)
	if want := slices.Sorted(maps.Keys(w.holds)); !slices.Equal(keys, want) {
		return fmt.Errorf("%w: listed %q, and there are %q", errWrong, keys, want)
	}
	return nil
}

func (w *worker) exists(key string) error {
	exists, err := w.store.Exists(w.t.Context(), key)
	if _, there := w.holds[key]; err == nil && exists != there {
		err = fmt.Errorf("%w: %s exists: %v", errWrong, key, exists)
	}
	return err
}

func (w *worker) delete(key string) error {
	err := w.store.Delete(w.t.Context(), key)
	if err != nil {
		// It may be gone all the same.
		if _, serr := w.bucket.client.StatObject(w.t.Context(), w.bucket.name, key, minio.StatObjectOptions{}); serr == nil {
			return err
		}
	}
	delete(w.holds, key)
	return err
}

// init changes the configuration, or the file of the credentials, as Velero
// does while other calls run.
func (w *worker) init() error {
	config := maps.Clone(w.bucket.config)
	switch w.rng.IntN(3) {
	case 0:
		config["checksumAlgorithm"] = []string{"", "CRC32C", "SHA256"}[w.rng.IntN(3)]
	case 1:
		w.mu.Lock()
		err := rewrite(config["credentialsFile"], w.rng.Uint32())
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if err := w.store.Init(w.t.Context(), config); err != nil {
		return fmt.Errorf("%w: %w", errWrong, err)
	}
	return nil
}

// rewrite replaces a credentials file by one with the same keys and another
// comment.
func rewrite(path string, comment uint32) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, keys, _ := strings.Cut(string(text), "[default]")
	next := path + ".new"
	if err := os.WriteFile(next, fmt.Appendf(nil, "# %d\n[default]%s", comment, keys), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// startAndKill uses another plugin and ends it in one of the ways, at times in
// the middle of a put.
func (w *worker) startAndKill(key string) error {
	p, err := host.Start(w.launch)
	if err != nil {
		return fmt.Errorf("%w: %w", errWrong, err)
	}
	defer p.Stop()
	s := host.Store{Plugin: p, Name: awsStore, Bucket: w.bucket.name}
	if err := s.Init(w.t.Context(), w.bucket.config); err != nil {
		return fmt.Errorf("%w: %w", errWrong, err)
	}
	if w.rng.IntN(2) == 0 {
		return w.get(s, key)
	}
	body := host.Body{Seed: w.rng.Uint64(), Size: 20 << 20}
	broken := &cutting{r: body.Reader(), left: 1 + w.rng.Int64N(body.Size), cut: func() {
		if err := p.Kill(); err != nil {
			w.t.Error(err)
		}
	}}
	if err := s.Put(w.t.Context(), key, broken); err == nil {
		return fmt.Errorf("%w: a put that was killed has succeeded", errWrong)
	}
	return w.settle(key, body)
}

// summarize prints what happened and judges the trend: the last third of the
// samples against the first.
func (s *soak) summarize() {
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		s.t.Logf("%-26s %7d", what, s.counts[what])
	}
	s.t.Logf("%d MiB stored and read, all of them compared", s.bytes>>20)
	third := len(s.samples) / 3
	if third == 0 {
		return
	}
	for _, figure := range []struct {
		name  string
		of    func(host.Usage) int64
		slack int64
	}{
		{"memory in MiB", func(u host.Usage) int64 { return u.Resident >> 20 }, 16},
		{"open files", func(u host.Usage) int64 { return int64(u.Files) }, 8},
		{"sockets", func(u host.Usage) int64 { return int64(u.Sockets) }, 8},
		{"threads", func(u host.Usage) int64 { return int64(u.Threads) }, 8},
	} {
		var values []int64
		for _, sample := range s.samples {
			values = append(values, figure.of(sample))
		}
		first, last := median(values[:third]), median(values[len(values)-third:])
		s.t.Logf("%-14s least %d, most %d; median of the first third %d, of the last %d",
			figure.name, slices.Min(values), slices.Max(values), first, last)
		if last > first+first/4+figure.slack {
			s.t.Errorf("%s have grown from %d to %d", figure.name, first, last)
		}
	}
}

func median(values []int64) int64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
