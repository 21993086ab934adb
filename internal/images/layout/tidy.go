package layout

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// tidy brings the notes of pending images in line with the entries. It removes no
// image.
func (s *sweep) tidy(ctx context.Context, ix *index, abandoned time.Duration) error {
	if err := s.dropAbandoned(ctx, ix, abandoned); err != nil {
		return err
	}
	if err := s.forgetNeeded(ctx, ix); err != nil {
		return err
	}
	return s.adopt(ctx, ix)
}

// dropAbandoned drops the entries of backups that are long over and have left
// nothing. How old an entry is tells the time at which this sweep was announced.
// An entry with a later time, which a wrong clock or a copy of the bucket can
// leave, is not old, and makes no other one old.
func (s *sweep) dropAbandoned(ctx context.Context, ix *index, age time.Duration) error {
	for _, image := range slices.Sorted(maps.Keys(ix.entries)) {
		for _, e := range ix.entries[image] {
			if s.now.Sub(e.at) < age {
				continue
			}
			lost, err := s.records.lost(ctx, e.Backup)
			if err != nil {
				return err
			}
			if !lost {
				continue
			}
			if err := s.goOn(ctx); err != nil {
				return ignoreOver(err)
			}
			s.log.Warn("the bucket does not have the backup for which an image was kept", "digest", image.String(), "for", e.Backup.String())
			if err := drop(ctx, s.bucket, image, entryKey(image, e.owner), e.entry); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetNeeded removes the notes of pending images that backups need again. If
// their last entry is dropped at the same time and its note removed with the old
// one, adopt finds the image by its mark.
func (s *sweep) forgetNeeded(ctx context.Context, ix *index) error {
	var needed []string
	for image := range ix.pending {
		if len(ix.entries[image]) > 0 {
			needed = append(needed, pendingKey(image))
			delete(ix.pending, image)
		}
	}
	return ignoreOver(s.delete(ctx, needed))
}

// adopt makes manifests pending whose release was interrupted.
func (s *sweep) adopt(ctx context.Context, ix *index) error {
	for _, d := range ix.orphans() {
		if err := s.goOn(ctx); err != nil {
			return ignoreOver(err)
		}
		if _, err := s.manifests.load(ctx, d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s.log.Warn("an image that no backup needs stays, as its manifest cannot be read", "digest", d.String(), "error", err.Error())
			continue
		}
		_, err := s.bucket.Stat(ctx, pendingKey(d))
		if err == nil {
			continue // it was released meanwhile
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		e := &entry{Repositories: slices.Sorted(maps.Keys(ix.marks[d])), Contents: s.manifests.contents(d)}
		if err := s.bucket.Put(ctx, pendingKey(d), bytes.NewReader(e.encode())); err != nil {
			return err
		}
	}
	return nil
}

// ignoreOver leaves the rest to the next sweep when the time of this one is over.
func ignoreOver(err error) error {
	if errors.Is(err, errOver) {
		return nil
	}
	return err
}
