package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// sweep is one clean-up, or a trial run for Plan, which removes nothing.
type sweep struct {
	bucket   objectstore.Bucket
	grace    time.Duration
	parallel int
	log      *slog.Logger

	key  string    // of its announcement, "" for a trial run
	ends time.Time // by this machine's clocks
	now  time.Time // of its beginning, by the server's clock

	index     *index
	used      *use            // of the bucket
	usedIn    map[string]*use // of its repositories
	manifests *manifests
	tags      map[version]digest.Digest // what the links of tags name
	marked    map[string]string         // content of marks by their keys
	records   *records

	gone    map[string]bool            // keys that a trial run would have removed
	stays   map[digest.Digest][]string // why pending images could not be removed
	freed   map[digest.Digest]int64    // bytes, by pending image
	removed Removed
}

// quiet is how long nothing must have been written to a repository from which
// something is removed.
func (s *sweep) quiet() time.Duration { return min(s.grace, 5*time.Minute) }

// end removes the announcement.
func (s *sweep) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxDeleteTime)
	defer cancel()
	if err := s.bucket.Delete(ctx, s.key); err != nil {
		s.log.Warn("a clean-up could not remove its announcement, so backups wait for some minutes", "key", s.key, "error", err.Error())
	}
}

// errOver says that a sweep has no time left.
var errOver = errors.New("the time of the clean-up is over")

// clean removes what the given images alone need. The index was read after the
// sweep was announced.
func (s *sweep) clean(ctx context.Context, ix *index, due []digest.Digest) error {
	s.index = ix
	s.used, s.usedIn = ix.uses()
	err := s.cleanAll(ctx, due)
	if errors.Is(err, errOver) {
		s.log.Info("a clean-up goes on next time", "images", len(due))
		return nil
	}
	return err
}

func (s *sweep) cleanAll(ctx context.Context, due []digest.Digest) error {
	if len(due) == 0 {
		return nil
	}
	images := map[string][]digest.Digest{}
	for _, d := range due {
		for _, name := range s.index.repositories(d) {
			images[name] = append(images[name], d)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(images)) {
		if err := s.cleanRepository(ctx, name, images[name]); err != nil {
			return err
		}
	}
	if err := s.cleanBlobs(ctx, due); err != nil {
		return err
	}
	for _, d := range due {
		if len(s.stays[d]) > 0 {
			continue
		}
		if err := s.delete(ctx, []string{pendingKey(d)}); err != nil {
			return err
		}
		s.removed.Images++
	}
	return nil
}

// cleanRepository removes pending images from a repository.
func (s *sweep) cleanRepository(ctx context.Context, name string, pending []digest.Digest) error {
	used := s.usedIn[name]
	if used == nil {
		used = newUse()
	}
	candidates := s.contents(pending)
	v, reason, err := s.look(ctx, name, used, candidates)
	if err != nil {
		return err
	}
	if reason != "" {
		for _, d := range pending {
			s.stays[d] = append(s.stays[d], reason)
		}
		return nil
	}
	r := s.removal(v, candidates, used.contents)
	// A link is removed before what it refers to.
	for _, keys := range [][]string{r.tags, r.history} {
		if err := s.delete(ctx, keys); err != nil {
			return err
		}
	}
	for _, key := range r.revisions {
		if err := s.delete(ctx, []string{key}); err != nil {
			return err
		}
	}
	if err := s.delete(ctx, r.layers); err != nil {
		return err
	}
	return s.delete(ctx, r.marks)
}

func (s *sweep) contents(pending []digest.Digest) map[digest.Digest]bool {
	all := map[digest.Digest]bool{}
	for _, image := range pending {
		for _, d := range s.index.pending[image].Contents {
			all[d] = true
		}
	}
	return all
}

// look returns a repository as it is now, or the reason why nothing may be
// removed from it. The last of its requests is the list, so nothing comes
// between that and what follows from it. A repository that takes more than half of
// the time that is left stays for now, so that it does not keep the others from
// being cleaned.
func (s *sweep) look(ctx context.Context, name string, used *use, candidates map[digest.Digest]bool) (*view, string, error) {
	reason, err := s.writer(ctx, name, used)
	if reason != "" || err != nil {
		return nil, reason, err
	}
	lookCtx := ctx
	if s.key != "" {
		var cancel context.CancelFunc
		lookCtx, cancel = context.WithTimeout(ctx, time.Until(s.ends)/2)
		defer cancel()
	}
	for {
		if err := s.goOn(ctx); err != nil {
			return nil, "", err
		}
		v, reason, news, err := s.lookOnce(lookCtx, name, used, candidates)
		if err != nil && ctx.Err() == nil && lookCtx.Err() != nil {
			return nil, fmt.Sprintf("repository %s takes too long to be read", name), nil
		}
		if reason != "" || err != nil || !news {
			return v, reason, err
		}
	}
}

func (s *sweep) lookOnce(ctx context.Context, name string, used *use, candidates map[digest.Digest]bool) (v *view, reason string, news bool, err error) {
	v, err = viewOf(ctx, s.bucket, name)
	if err != nil {
		return nil, "", false, err
	}
	if reason := s.busy(v); reason != "" {
		return nil, reason, false, nil
	}
	news, reason, err = s.readUp(ctx, v, used.contents, candidates)
	return v, reason, news, err
}

// writer says which backup is writing to the repository, or may be, if one is.
func (s *sweep) writer(ctx context.Context, name string, used *use) (string, error) {
	for _, b := range used.sortedBackups() {
		state, err := s.records.state(ctx, b)
		switch {
		case err != nil:
			return "", err
		case state == absent:
			return fmt.Sprintf("%s, which has images in repository %s, has not ended", b, name), nil
		case state == unknown:
			return fmt.Sprintf("whether %s, which has images in repository %s, has ended cannot be read (%s)", b, name, b.recordKey()), nil
		}
	}
	return "", nil
}

// readUp reads the manifests and tags of the repository that were not read yet
// and may matter for the candidates, and reports whether there were any.
func (s *sweep) readUp(ctx context.Context, v *view, needed, candidates map[digest.Digest]bool) (news bool, reason string, err error) {
	// What is unknown is collected before the first request, whose answer changes
	// the maps.
	var marks, tags []string // keys
	for d := range candidates {
		key := markKey(v.name, d)
		_, known := s.marked[key]
		if !known && !v.revisions[d].IsZero() && !s.index.marks[d][v.name].IsZero() {
			marks = append(marks, key)
		}
	}
	for _, key := range v.tagsOf(candidates) {
		if _, known := s.tags[v.tags[key]]; !known {
			tags = append(tags, key)
		}
	}
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(s.parallel)
	for _, d := range slices.Sorted(maps.Keys(v.revisions)) {
		if needed[d] {
			continue // with all that it names
		}
		group.Go(func() error {
			read, err := s.manifests.load(groupCtx, d)
			mu.Lock()
			defer mu.Unlock()
			news = news || read
			if err != nil && groupCtx.Err() == nil {
				reason = fmt.Sprintf("a manifest of repository %s cannot be read, and nobody knows what it needs: %v", v.name, err)
				return errBlocked
			}
			return context.Cause(groupCtx)
		})
	}
	for _, key := range marks {
		group.Go(func() error {
			content, err := read(groupCtx, s.bucket, key, maxLinkSize)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			s.marked[key], news = string(content), true
			return nil
		})
	}
	for _, key := range tags {
		version := v.tags[key]
		group.Go(func() error {
			content, err := read(groupCtx, s.bucket, key, maxLinkSize)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			s.tags[version], news = digest.Digest(content), true
			return nil
		})
	}
	err = group.Wait()
	if ctx.Err() != nil {
		return false, "", context.Cause(ctx)
	}
	if reason != "" {
		return false, reason, nil
	}
	return news, "", err
}

// errBlocked ends the reading of a repository from which nothing may be removed.
var errBlocked = errors.New("the repository is blocked")

// cleanBlobs removes the blobs and manifests of images that nothing refers to.
func (s *sweep) cleanBlobs(ctx context.Context, due []digest.Digest) error {
	candidates := s.contents(due)
	if err := s.goOn(ctx); err != nil {
		return err
	}
	t, err := s.listTree(ctx, candidates)
	if err != nil {
		return err
	}
	if t.uploads.Add(s.grace).After(s.now) {
		for _, image := range due {
			s.stays[image] = append(s.stays[image], "somebody uploads to the bucket")
		}
		return nil
	}
	for _, image := range due {
		if len(s.stays[image]) > 0 {
			continue
		}
		var keys []string
		for _, d := range s.index.pending[image].Contents {
			size, there := t.sizes[d]
			if !there || s.used.contents[d] || t.linked[d] {
				continue
			}
			delete(t.sizes, d)
			keys = append(keys, blobKey(d))
			if s.index.damaged[d] {
				keys = append(keys, damagedKey(d))
			}
			s.removed.Blobs++
			s.removed.Bytes += size
			s.freed[image] += size
		}
		if err := s.delete(ctx, keys); err != nil {
			return err
		}
	}
	return nil
}

// tree is what matters for the removal of blobs.
type tree struct {
	sizes   map[digest.Digest]int64
	linked  map[digest.Digest]bool // from any repository
	uploads time.Time              // of the newest file of an upload
}

// maxStats is how many blobs are asked for one by one. More are listed with all
// others.
const maxStats = 1000

// blobSizes returns the sizes of those of the blobs that are there.
func (s *sweep) blobSizes(ctx context.Context, of map[digest.Digest]bool) (map[digest.Digest]int64, error) {
	sizes := make(map[digest.Digest]int64, len(of))
	if len(of) > maxStats {
		for o, err := range s.bucket.List(ctx, blobsRoot) {
			if err != nil {
				return nil, err
			}
			if d, ok := blobOf(o.Key); ok && of[d] {
				sizes[d] = o.Size
			}
		}
		return sizes, nil
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.parallel)
	for d := range of {
		group.Go(func() error {
			o, err := s.bucket.Stat(ctx, blobKey(d))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			sizes[d] = o.Size
			return err
		})
	}
	return sizes, group.Wait()
}

// listTree returns what the tree has of the given digests. The links, on which the
// removal depends, are listed last.
func (s *sweep) listTree(ctx context.Context, of map[digest.Digest]bool) (*tree, error) {
	sizes, err := s.blobSizes(ctx, of)
	if err != nil {
		return nil, err
	}
	t := &tree{sizes: sizes, linked: map[digest.Digest]bool{}}
	for o, err := range s.bucket.List(ctx, repositoriesRoot) {
		if err != nil {
			return nil, err
		}
		if strings.Contains(o.Key, "/_uploads/") {
			t.uploads = later(t.uploads, o.Modified)
		} else if d, ok := linked(o.Key); ok && of[d] && !(s.key == "" && s.gone[o.Key]) {
			t.linked[d] = true
		}
	}
	return t, nil
}

// blobOf returns the digest that the key of a blob tells.
func blobOf(key string) (digest.Digest, bool) {
	path, ok := strings.CutSuffix(key, "/data")
	parts := strings.Split(strings.TrimPrefix(path, blobsRoot), "/")
	if !ok || len(parts) != 3 {
		return "", false
	}
	d := digest.Digest(parts[0] + ":" + parts[2])
	return d, d.Validate() == nil
}

// goOn returns errOver when the time of the sweep is over, or when a backup has
// taken it for crashed and removed its announcement.
func (s *sweep) goOn(ctx context.Context) error {
	if s.key == "" {
		return nil
	}
	if s.over() {
		return errOver
	}
	_, err := s.bucket.Stat(ctx, s.key)
	if errors.Is(err, fs.ErrNotExist) {
		return errOver
	}
	return err
}

// over reports whether the sweep's time is over by either of the clocks: one is
// set at times, and the other stands still while the machine sleeps.
func (s *sweep) over() bool {
	now := time.Now()
	return !now.Before(s.ends) || !now.Round(0).Before(s.ends.Round(0))
}

// delete removes objects, in any order. It begins nothing when the sweep's time
// is over.
func (s *sweep) delete(ctx context.Context, keys []string) error {
	if s.key == "" {
		for _, key := range keys {
			s.gone[key] = true
		}
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.parallel)
	for _, key := range keys {
		group.Go(func() error {
			if s.over() {
				return errOver
			}
			ctx, cancel := context.WithTimeout(ctx, maxDeleteTime)
			defer cancel()
			return s.bucket.Delete(ctx, key)
		})
	}
	return group.Wait()
}
