package plugintest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// listRows are about lists.
func listRows() []Row {
	return []Row{{
		ID: "list.prefixes", Level: Must, Name: "lists and prefixes",
		Contract:    "ListObjects returns all keys with the prefix, ListCommonPrefixes each distinct prefix once, with the given one in front and the delimiter at the end, and no plain keys; no match is an empty list",
		Consequence: "the location becomes unavailable, or backups in it are not found, or their files stay when they are deleted",
		needs:       []need{store},
		run:         listPrefixes,
	}, {
		ID: "list.many", Level: Must, Name: "more than a page",
		Contract:    "lists of more than 1000 keys and of more than 1000 prefixes are complete and without duplicates",
		Consequence: "a location with many backups shows only a part of them, and deleting a backup leaves files",
		needs:       []need{store},
		run:         listMany,
	}, {
		ID: "list.delimiter", Level: Should, Name: "another delimiter",
		Contract:    "prefixes are cut after the delimiter that is asked for",
		Consequence: "tools that list with another delimiter than Velero's see wrong names",
		needs:       []need{store},
		run:         otherDelimiter,
	}}
}

// inParallel calls do for 0 to n-1, at most 16 at a time, and joins the first
// few errors.
func inParallel(n int, do func(i int) error) error {
	const enough = 3
	failures := make(chan error, n)
	slots := make(chan struct{}, 16)
	var done sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		done.Go(func() {
			defer func() { <-slots }()
			if err := do(i); err != nil {
				failures <- err
			}
		})
	}
	done.Wait()
	close(failures)
	var errs []error
	for err := range failures {
		if errs = append(errs, err); len(errs) == enough {
			break
		}
	}
	if more := len(failures); more > 0 {
		errs = append(errs, fmt.Errorf("and %d errors more", more))
	}
	return errors.Join(errs...)
}

// equalSets compares a list with the keys of a map and finds duplicates.
func equalSets[V any](got []string, want map[string]V) error {
	var missing, extra, twice []string
	count := map[string]int{}
	for _, key := range got {
		count[key]++
		if _, ok := want[key]; !ok {
			extra = append(extra, key)
		}
		if count[key] == 2 {
			twice = append(twice, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if count[key] == 0 {
			missing = append(missing, key)
		}
	}
	if len(missing)+len(extra)+len(twice) == 0 {
		return nil
	}
	return fmt.Errorf("of %d entries %s, %s, %s", len(want),
		few("missing", missing), few("unexpected", extra), few("twice", twice))
}

func few(what string, keys []string) string {
	return fmt.Sprintf("%d are %s %.400q", len(keys), what, keys[:min(3, len(keys))])
}

func set(keys ...string) map[string]bool {
	m := map[string]bool{}
	for _, key := range keys {
		m[key] = true
	}
	return m
}

func listPrefixes(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	names := []string{"backups/one/a", "backups/one/b", "backups/one/deep/c", "backups/two/a", "backups/plain",
		"backups-old/x", "restores/ü ö/a", "restores/ü ö/b", "top"}
	for _, name := range names {
		if _, err := put(ctx, st, s.key(name), 1); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"", []string{"backups/", "backups-old/", "restores/"}},
		{"backups", []string{"backups/", "backups-old/"}},
		{"backups/", []string{"backups/one/", "backups/two/"}},
		{"backups/o", []string{"backups/one/"}},
		{"backups/one/", []string{"backups/one/deep/"}},
		{"restores/", []string{"restores/ü ö/"}},
		{"backups/plain", nil},
		{"absent/", nil},
	} {
		got, err := st.Prefixes(ctx, s.key(c.prefix), "/")
		if err == nil {
			err = equalSets(got, set(s.keys(c.want)...))
		}
		if err != nil {
			return fmt.Errorf("ListCommonPrefixes below %q: %w", c.prefix, err)
		}
	}
	for _, prefix := range []string{"", "backups", "backups/", "backups/one/", "backups/one/deep/c", "restores/ü", "absent"} {
		got, err := st.List(ctx, s.key(prefix))
		if err == nil {
			err = equalSets(got, set(s.keys(matching(names, prefix))...))
		}
		if err != nil {
			return fmt.Errorf("ListObjects below %q: %w", prefix, err)
		}
	}
	return nil
}

func matching(names []string, prefix string) []string {
	var match []string
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			match = append(match, name)
		}
	}
	return match
}

func (s *session) keys(names []string) []string {
	var keys []string
	for _, name := range names {
		keys = append(keys, s.key(name))
	}
	return keys
}

func listMany(ctx context.Context, s *session) error {
	const count = 1105
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	keys, prefixes := map[string]bool{}, map[string]bool{}
	for i := range count {
		keys[s.key(fmt.Sprintf("d%04d/x", i))] = true
		prefixes[s.key(fmt.Sprintf("d%04d/", i))] = true
	}
	all := slices.Collect(maps.Keys(keys))
	if err := inParallel(count, func(i int) error {
		_, err := put(ctx, st, all[i], 1)
		return err
	}); err != nil {
		return err
	}
	got, err := st.List(ctx, s.key(""))
	if err == nil {
		err = equalSets(got, keys)
	}
	if err != nil {
		return fmt.Errorf("ListObjects: %w", err)
	}
	got, err = st.Prefixes(ctx, s.key(""), "/")
	if err == nil {
		err = equalSets(got, prefixes)
	}
	if err != nil {
		return fmt.Errorf("ListCommonPrefixes: %w", err)
	}
	return removeAll(ctx, st, s.key(""))
}

func otherDelimiter(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{"a-1", "a-2", "b-1/c-2", "plain"} {
		if _, err := put(ctx, st, s.key(name), 1); err != nil {
			return err
		}
	}
	base := s.key("")
	for _, c := range []struct {
		prefix string
		want   []string
	}{{"", []string{"a-", "b-"}}, {"b-", []string{"b-1/c-"}}} {
		got, err := st.Prefixes(ctx, base+c.prefix, "-")
		if err == nil {
			err = equalSets(got, set(s.keys(c.want)...))
		}
		if err != nil {
			return fmt.Errorf("below %q: %w", c.prefix, err)
		}
	}
	return nil
}
