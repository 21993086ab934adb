package layout

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

var (
	modelSeed  = flag.Uint64("model.seed", 1, "the first seed of TestModel and TestModelOfRaces")
	modelSeeds = flag.Uint64("model.seeds", 1, "multiplies the number of seeds")
)

// TestModel lets backups, their deletions, clean-ups and a writer that knows
// nothing of the index work in one bucket, in an order of their requests that is
// drawn by lot. Processes crash at any point. After each request all that refers
// to something must find it, and live backups and the images of the other writer
// must be whole.
//
// The other writer does not write a manifest between a look of ours and what
// follows from it; see the comment of the package.
func TestModel(t *testing.T) {
	eachWorld(t, 20, func(w *world) {
		w.run(1500)
		w.finish()
	})
}

// TestModelOfRaces begins where clean-up and backups meet: with images that
// nobody needs any more, and backups that are about to copy the same ones.
func TestModelOfRaces(t *testing.T) {
	eachWorld(t, 400, func(w *world) {
		for range 1 + w.random.IntN(2) {
			w.beginBackup()
		}
		w.settle()
		for _, uid := range slices.Sorted(maps.Keys(w.backups)) {
			w.deleteBackup(w.backups[uid])
		}
		w.settle()
		time.Sleep(w.grace)
		for range 2 + w.random.IntN(4) {
			for range w.random.IntN(30) {
				w.step()
			}
			switch n := w.random.IntN(8); {
			case n < 3:
				w.begin("sweep", func(ctx context.Context) { w.cleaner().Sweep(ctx) })
			case n < 7 || w.peace:
				w.beginBackup()
			default:
				w.beginForeign()
			}
		}
		w.settle()
	})
}

// eachWorld runs a test with seeds of its own.
func eachWorld(t *testing.T, seeds uint64, test func(*world)) {
	pool := newPool(t)
	for seed := *modelSeed; seed < *modelSeed+*modelSeeds*seeds; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, pool, seed)
				test(w)
				w.stop()
			})
		})
	}
}

// world is the bucket with all who work in it.
type world struct {
	t      *testing.T
	random *rand.Rand
	bucket *memory
	pool   []*simple
	peace  bool // nobody crashes and nobody else writes

	// What seeds differ in.
	grace        time.Duration
	processes    int       // at a time
	patience     int       // percentage of requests that are followed by one of the same process
	favourites   []*simple // of the pool, that are written
	repositories []string

	mu      sync.Mutex
	waiting []*question
	alive   map[*process]bool
	begun   int
	last    *process // whose request was granted
	granted int      // requests
	changed bool     // the bucket, since the last check

	backups map[string]*modelBackup // by UID
	foreign map[place]*simple       // what the other writer has completed
	writers []*writer
}

// process is what crashes as a whole.
type process struct {
	id     int
	what   string
	cancel context.CancelFunc
	dead   bool
}

// question is a request that waits until it may be made.
type question struct {
	process *process
	request request
	ctx     context.Context
	answer  chan error
	held    int // until so many requests were granted
}

type modelBackup struct {
	uid    string
	images map[place]*simple // copied
	ended  bool
	given  bool // up: it crashed, or it is being deleted

	deleted bool // or is being deleted
}

// writer puts images as the plugin does that ours replaces.
type writer struct {
	image      *simple
	repository string
	ready      bool // to write the manifest
}

type processKey struct{}

var errCrashed = errors.New("the process has crashed")

// newPool makes images that share most of what they have.
func newPool(t *testing.T) []*simple {
	one, two, three := imageOf(t, "base", "one"), imageOf(t, "base", "middle", "two"), imageOf(t, "base", "middle", "three")
	lone := imageOf(t, "lone")
	return []*simple{one, two, three, lone, indexOf(t, one, two), indexOf(t, two, lone), indexOf(t, indexOf(t, one, two), three)}
}

func newWorld(t *testing.T, pool []*simple, seed uint64) *world {
	w := &world{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), bucket: newMemory(), pool: slices.Clone(pool), peace: seed%4 == 0,
		alive: map[*process]bool{}, backups: map[string]*modelBackup{}, foreign: map[place]*simple{},
	}
	w.bucket.page = []int{5, 50, 1000}[w.random.IntN(3)]
	w.bucket.before = w.ask
	w.random.Shuffle(len(pool), func(i, j int) { w.pool[i], w.pool[j] = w.pool[j], w.pool[i] })
	w.favourites = w.pool[:2+w.random.IntN(3)]
	w.repositories = []string{"ns/a", "ns/b", "other/a", "other/b", "b", "b/a"}[:1+w.random.IntN(6)]
	w.grace = []time.Duration{0, 0, 2 * time.Second, 20 * time.Second}[w.random.IntN(4)]
	w.processes = 2 + w.random.IntN(3)
	w.patience = []int{0, 60, 90}[w.random.IntN(3)]
	skew := time.Duration(w.random.IntN(121)-60) * time.Minute
	w.bucket.clock = func() time.Time { return time.Now().Add(skew) }
	w.bucket.set(backup("other").recordKey(), nil)
	return w
}

// ask holds a request until its turn comes.
func (w *world) ask(ctx context.Context, r request) error {
	p := ctx.Value(processKey{}).(*process)
	q := &question{process: p, request: r, ctx: ctx, answer: make(chan error, 1)}
	w.mu.Lock()
	if p.dead {
		w.mu.Unlock()
		return errCrashed
	}
	w.waiting = append(w.waiting, q)
	w.mu.Unlock()
	select {
	case err := <-q.answer:
		return err
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting = slices.DeleteFunc(w.waiting, func(other *question) bool { return other == q })
		return ctx.Err()
	}
}

// begin starts a process. What it returns is of no interest.
func (w *world) begin(what string, work func(ctx context.Context)) {
	w.begun++
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{id: w.begun, what: what, cancel: cancel}
	w.mu.Lock()
	w.alive[p] = true
	w.mu.Unlock()
	go func() {
		defer cancel()
		work(context.WithValue(ctx, processKey{}, p))
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.alive, p)
	}()
}

// running returns the number of processes.
func (w *world) running() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.alive)
}

func (w *world) crash(p *process) {
	w.mu.Lock()
	p.dead = true
	w.waiting = slices.DeleteFunc(w.waiting, func(q *question) bool {
		if q.process == p {
			q.answer <- errCrashed
		}
		return q.process == p
	})
	w.mu.Unlock()
	p.cancel()
}

// run takes steps.
func (w *world) run(steps int) {
	for range steps {
		synctest.Wait()
		if w.random.IntN(400) == 0 {
			time.Sleep(time.Duration(w.random.IntN(100)) * time.Second)
			synctest.Wait()
		}
		switch n := w.random.IntN(100); {
		case n < 12 && w.running() < w.processes:
			w.beginAny()
		case n < 16 && !w.peace && w.running() > 0 && w.random.IntN(3) == 0:
			w.crash(w.anybody())
		case n < 17:
			time.Sleep(time.Second)
			synctest.Wait()
		default:
			w.step()
		}
		if w.t.Failed() {
			return
		}
	}
}

func (w *world) anybody() *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.SortedFunc(maps.Keys(w.alive), func(a, b *process) int { return a.id - b.id })
	return all[w.random.IntN(len(all))]
}

// grant lets one request happen.
func (w *world) grant() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		return false
	}
	slices.SortFunc(w.waiting, func(a, b *question) int {
		return cmp.Or(a.process.id-b.process.id, strings.Compare(a.request.method+a.request.key, b.request.method+b.request.key))
	})
	w.granted++
	var free []*question
	for _, q := range w.waiting {
		if q.held == 0 {
			q.held = w.granted + w.delay(q.request)
		}
		if q.held <= w.granted {
			free = append(free, q)
		}
	}
	if len(free) == 0 {
		free = w.waiting
	}
	q := free[w.random.IntN(len(free))]
	if again := slices.IndexFunc(free, func(q *question) bool { return q.process == w.last }); again >= 0 && w.random.IntN(100) < w.patience {
		q = free[again]
	}
	w.last = q.process
	w.changed = w.changed || q.request.method == "Put" || q.request.method == "Delete"
	q.answer <- nil
	w.waiting = slices.DeleteFunc(w.waiting, func(other *question) bool { return other == q })
	return true
}

// delay returns how many requests of others may come before one of those on
// whose order all depends.
func (w *world) delay(r request) int {
	decisive := r.method == "Delete" || strings.HasPrefix(r.key, entriesRoot) || strings.HasPrefix(r.key, sweepsRoot)
	if decisive && w.random.IntN(6) == 0 {
		return w.random.IntN(60)
	}
	return 0
}

// step lets something happen, if only time pass.
func (w *world) step() {
	w.check()
	time.Sleep(time.Duration(w.random.IntN(100)) * time.Millisecond)
	if w.random.IntN(20) == 0 {
		w.commitForeign()
	}
	if !w.grant() {
		time.Sleep(time.Second)
	}
	synctest.Wait()
}

func (w *world) beginAny() {
	switch n := w.random.IntN(10); {
	case n < 3:
		w.beginBackup()
	case n < 6:
		w.beginDeletion()
	case n < 8:
		w.begin("sweep", func(ctx context.Context) { w.cleaner().Sweep(ctx) })
	case n < 9:
		w.beginRestore()
	case !w.peace:
		w.beginForeign()
	}
}

// beginRestore restores a backup that has ended. It must find all that the backup
// has copied, unless the backup is deleted meanwhile.
func (w *world) beginRestore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, uid := range slices.Sorted(maps.Keys(w.backups)) {
		b := w.backups[uid]
		if !b.ended || b.given || w.random.IntN(3) == 0 {
			continue
		}
		all := maps.Clone(b.images)
		w.mu.Unlock()
		w.begin("restore", func(ctx context.Context) {
			tree := restoreTree(w.bucket, b.uid)
			for p, image := range all {
				if err := image.readFrom(ctx, tree, p.repository); err != nil && ctx.Err() == nil && !errors.Is(err, errCrashed) {
					w.mu.Lock()
					defer w.mu.Unlock()
					if !b.given {
						w.fail("restore of backup %s, image %s: %v", b.uid, image.digest(), err)
					}
					return
				}
			}
		})
		w.mu.Lock()
		return
	}
}

// readFrom reads an image as a whole.
func (s *simple) readFrom(ctx context.Context, from images.Source, repository string) error {
	m, err := from.Manifest(ctx, repository, s.digest())
	if err != nil {
		return err
	}
	for _, child := range s.children {
		if err := child.readFrom(ctx, from, repository); err != nil {
			return err
		}
	}
	for _, b := range m.Blobs {
		body, err := from.Blob(ctx, repository, b)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil {
			return err
		}
		if digest.FromBytes(content) != b.Digest {
			return fmt.Errorf("blob %s is damaged", b.Digest)
		}
	}
	return nil
}

func (w *world) cleaner() *Cleaner {
	c := NewCleaner(w.bucket, w.grace, slog.New(slog.DiscardHandler))
	c.parallel, c.reader.parallel = 2, 2
	return c
}

func (w *world) image() *simple     { return w.favourites[w.random.IntN(len(w.favourites))] }
func (w *world) repository() string { return w.repositories[w.random.IntN(len(w.repositories))] }

func (w *world) beginBackup() {
	b := &modelBackup{uid: fmt.Sprint(w.begun), images: map[place]*simple{}}
	w.backups[b.uid] = b
	type task struct {
		image        *simple
		repositories []string
		fails        bool
	}
	var tasks []task
	for range 1 + w.random.IntN(3) {
		tasks = append(tasks, task{w.image(), []string{w.repository(), w.repository()}[:1+w.random.IntN(2)], w.random.IntN(6) == 0})
	}
	w.begin("backup", func(ctx context.Context) {
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			b.given = b.given || !b.ended
		}()
		tree := NewTree(w.bucket, backup(b.uid), slog.New(slog.DiscardHandler))
		for _, task := range tasks {
			source := task.image
			if task.fails {
				source = &simple{manifest: source.manifest, children: source.children} // without its blobs
			}
			if err := source.copyTo(ctx, tree, task.repositories...); err != nil {
				continue // the entry stays
			}
			w.mu.Lock()
			for _, r := range task.repositories {
				b.images[place{r, task.image.digest()}] = task.image
			}
			w.mu.Unlock()
			for _, r := range task.repositories {
				if tree.Tag(ctx, r, "latest", task.image.manifest) != nil {
					return
				}
			}
		}
		if w.bucket.Put(ctx, tree.backup.recordKey(), strings.NewReader("{}")) != nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		b.ended = true
	})
}

func (w *world) beginDeletion() {
	for _, uid := range slices.Sorted(maps.Keys(w.backups)) {
		if b := w.backups[uid]; (b.ended || b.given) && !b.deleted && w.random.IntN(3) > 0 {
			w.deleteBackup(b)
		}
	}
}

func (w *world) deleteBackup(b *modelBackup) {
	w.mu.Lock()
	b.given, b.deleted = true, true
	var all []digest.Digest
	for _, image := range w.pool {
		all = append(all, image.digest())
	}
	// An image stream of the tarball may carry what another backup has noted in it.
	noted := slices.Sorted(maps.Keys(w.backups))[w.random.IntN(len(w.backups))]
	w.mu.Unlock()
	w.begin("deletion", func(ctx context.Context) {
		c := w.cleaner()
		c.Release(ctx, backup(b.uid), backup(noted).Owner(), all)
		c.Release(ctx, backup(b.uid), backup(b.uid).Owner(), all)
		c.Sweep(ctx)
		w.bucket.Delete(ctx, backup(b.uid).recordKey())
	})
}

func (w *world) beginForeign() {
	f := &writer{image: w.image(), repository: w.repository()}
	w.writers = append(w.writers, f)
	upload := fmt.Sprintf("%s%s/_uploads/%d/startedat", repositoriesRoot, f.repository, w.begun)
	w.begin("foreign", func(ctx context.Context) {
		for d, content := range f.image.all() {
			if _, err := w.bucket.Stat(ctx, layerLink(f.repository, d)); err == nil {
				continue
			}
			w.bucket.Put(ctx, upload, strings.NewReader("now"))
			if _, err := w.bucket.Stat(ctx, blobKey(d)); err != nil {
				w.bucket.Put(ctx, blobKey(d), strings.NewReader(content))
			}
			w.bucket.Put(ctx, layerLink(f.repository, d), strings.NewReader(d.String()))
			w.bucket.Delete(ctx, upload)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		f.ready = ctx.Err() == nil
	})
}

// commitForeign lets the other writer complete an image: it makes sure that all
// blobs are there and writes the manifest and the tag.
func (w *world) commitForeign() {
	for i, f := range w.writers {
		if !f.ready || w.atWork(f) {
			continue
		}
		w.writers = slices.Delete(w.writers, i, i+1)
		w.changed = true
		w.writeForeign(f.repository, f.image)
		w.bucket.set(tagHistoryLink(f.repository, "latest", f.image.digest()), []byte(f.image.digest()))
		w.bucket.set(tagLink(f.repository, "latest"), []byte(f.image.digest()))
		return
	}
}

func (w *world) writeForeign(repository string, image *simple) {
	for _, child := range image.children {
		w.writeForeign(repository, child)
	}
	for d, content := range image.blobs {
		for key, content := range map[string]string{blobKey(d): string(content), layerLink(repository, d): d.String()} {
			if w.bucket.content(key) != content {
				w.bucket.set(key, []byte(content))
			}
		}
	}
	d := image.digest()
	if w.bucket.content(blobKey(d)) == "" {
		w.bucket.set(blobKey(d), image.manifest.Content)
	}
	w.bucket.set(revisionLink(repository, d), []byte(d))
	w.foreign[place{repository, d}] = image
}

// atWork reports whether somebody is between a look at what the other writer is
// about to write and what follows from the look, or has just marked it.
func (w *world) atWork(f *writer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, o := range w.bucket.objects {
		if strings.HasPrefix(key, marksRoot) && strings.HasSuffix(key, "/"+f.repository) && w.bucket.clock().Sub(o.modified) < time.Second {
			return true
		}
	}
	return slices.ContainsFunc(w.waiting, func(q *question) bool {
		switch r := q.request; r.method {
		case "Delete":
			return !strings.Contains(r.key, "_uploads")
		case "List on":
			return strings.HasPrefix(r.key, blobsRoot) || strings.HasPrefix(r.key, repositoriesRoot)
		case "List":
			return r.key == repositoriesRoot // it follows the list of blobs
		case "Put", "Stat":
			return strings.Contains(r.key, "/revisions/") || strings.HasPrefix(r.key, marksRoot)
		}
		return false
	})
}

// all returns the blobs of an image and its children.
func (s *simple) all() map[digest.Digest]string {
	all := map[digest.Digest]string{}
	for d, content := range s.blobs {
		all[d] = string(content)
	}
	for _, child := range s.children {
		maps.Copy(all, child.all())
	}
	return all
}

// check is the invariant, which requests that change nothing cannot break.
func (w *world) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.Failed() || !w.changed {
		return
	}
	w.changed = false
	for _, b := range w.backups {
		if b.given {
			continue
		}
		for p, image := range b.images {
			if what := missing(w.bucket, p.repository, image); what != "" {
				w.fail("backup %s, image %s in %s: %s", b.uid, image.digest(), p.repository, what)
			}
		}
	}
	for p, image := range w.foreign {
		if what := missing(w.bucket, p.repository, image); what != "" {
			w.fail("foreign image %s in %s: %s", image.digest(), p.repository, what)
		}
	}
	for key := range w.bucket.objects {
		rest, ok := strings.CutPrefix(key, repositoriesRoot)
		if !ok {
			continue
		}
		repository, _, _ := strings.Cut(rest, "/_")
		if d, ok := linked(key); ok && strings.Contains(key, "/revisions/") {
			if what := missing(w.bucket, repository, w.find(d)); what != "" {
				w.fail("%s: %s", key, what)
			}
		}
		if strings.HasSuffix(key, "/current/link") {
			d := digest.Digest(w.bucket.objects[key].data)
			if _, ok := w.bucket.objects[revisionLink(repository, d)]; !ok {
				w.fail("%s names %s, which is not there", key, d)
			}
		}
	}
}

// find returns an image of the pool or a child of one.
func (w *world) find(d digest.Digest) *simple {
	var search func(all []*simple) *simple
	search = func(all []*simple) *simple {
		for _, image := range all {
			if image.digest() == d {
				return image
			}
			if found := search(image.children); found != nil {
				return found
			}
		}
		return nil
	}
	return search(w.pool)
}

// fail shows the last requests.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format, args...)
	for _, r := range w.bucket.requests[max(0, len(w.bucket.requests)-40):] {
		w.t.Log(r.method, r.key)
	}
}

// stop lets nobody go on.
func (w *world) stop() {
	for w.running() > 0 {
		w.crash(w.anybody())
		synctest.Wait()
	}
}

// finish lets everybody end, deletes all backups and cleans up. If nobody has
// crashed and nobody else has written, nothing is left.
func (w *world) finish() {
	if w.t.Failed() {
		return
	}
	w.settle()
	w.patience = 0
	for _, uid := range slices.Sorted(maps.Keys(w.backups)) {
		if b := w.backups[uid]; !b.deleted {
			w.deleteBackup(b)
			w.settle()
		}
	}
	for range 3 {
		time.Sleep(8 * 24 * time.Hour)
		w.begin("sweep", func(ctx context.Context) { w.cleaner().Sweep(ctx) })
		w.settle()
	}
	if w.peace {
		left := slices.DeleteFunc(w.bucket.keys("docker/"), func(key string) bool {
			return strings.HasPrefix(key, sweepsRoot) // of one that was held too long; the next backup removes it
		})
		if len(left) > 0 {
			w.t.Errorf("left behind: %s", strings.Join(left, "\n"))
		}
	}
}

// settle lets all processes go on until they have ended.
func (w *world) settle() {
	synctest.Wait()
	for range 20000 {
		if w.running() == 0 || w.t.Failed() {
			return
		}
		w.step()
	}
	w.t.Error("the processes do not end")
}

var _ images.Source = (*simple)(nil)
