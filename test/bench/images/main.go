// Imagebench measures how velero-plugins copies the images of image streams to a
// bucket and back: against the way of the plugin that it replaces, through a
// link to the registry that is 20 ms long.
//
//	go run ./test/bench/images
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

func main() {
	plugins := flag.String("plugins", "bin", "`folder` with the built plugins")
	rounds := flag.Int("rounds", 3, "readings of everything")
	workers := flag.Int("workers", 1, "image streams that are backed up at a time, as --item-block-worker-count of the Velero server says")
	flag.Parse()
	program := stack.Program{Name: "imagebench", Needs: append(tools.Core(), tools.Registry), Timeout: 30 * time.Minute}
	dir, err := filepath.Abs(*plugins)
	program.Check(err)
	program.Run(func(ctx context.Context, servers *stack.Stack) error {
		return run(ctx, servers, dir, *rounds, *workers)
	})
}

func run(ctx context.Context, servers *stack.Stack, plugins string, rounds, workers int) error {
	medium := "memory"
	if err := dataInMemory(servers); err != nil {
		medium = fmt.Sprintf("disk (%v)", err)
	}
	s, err := openSite(ctx, servers, plugins, rounds, workers)
	if err != nil {
		return err
	}
	defer s.close()
	var reports []report
	for _, shape := range []shape{streams, tags} {
		r, err := s.measure(ctx, shape, rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", shape.title, err)
		}
		reports = append(reports, r)
	}
	calls, err := s.resolve(ctx)
	if err != nil {
		return fmt.Errorf("resolving %d tags: %w", manyTags, err)
	}
	lists, err := s.large(ctx)
	if err != nil {
		return fmt.Errorf("%d large image streams: %w", largeStreams, err)
	}
	if !write(os.Stdout, facts{rounds: rounds, workers: workers, medium: medium}, reports, calls, lists) {
		return errors.New("a target is missed")
	}
	return nil
}

// dataInMemory keeps what the servers store off the disk, whose speed changes from
// one round to the next.
func dataInMemory(servers *stack.Stack) error {
	if servers.Isolation() == "loopback" {
		return errors.New("there is no mount namespace")
	}
	dir := filepath.Join(servers.Dir(), "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return unix.Mount("imagebench", dir, "tmpfs", 0, "mode=0700")
}

// measure takes all readings of a workload. What is compared is read in turn, so
// that what else the machine does weighs on all alike.
func (s *site) measure(ctx context.Context, shape shape, rounds int) (report, error) {
	r := report{title: shape.title}
	w, err := s.workload(ctx, shape)
	if err != nil {
		return r, err
	}
	for round := range rounds {
		for _, take := range []struct {
			title string
			into  *[]reading
			do    func(context.Context, *workload, int) (reading, error)
		}{
			{"the reference's way", &r.reference, s.referenceRegistry},
			{"the same without its registry", &r.direct, s.referenceBucket},
			{"first backup", &r.first, s.firstBackup},
			{"second backup", &r.second, s.secondBackup},
			{"restore", &r.restore, s.restore},
		} {
			one, err := take.do(ctx, w, round)
			if err != nil {
				return r, fmt.Errorf("round %d, %s: %w", round+1, take.title, err)
			}
			fmt.Fprintf(os.Stderr, "%s, round %d, %s: %.2f s\n", shape.title, round+1, take.title, one.took.Seconds())
			*take.into = append(*take.into, one)
		}
		if err := s.removeBucket(ctx, shape.bucket(round)); err != nil {
			return r, err
		}
	}
	return r, nil
}
