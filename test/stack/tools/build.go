package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// buildMissing builds those of sources that are not in root yet.
func buildMissing(ctx context.Context, w io.Writer, root string, sources []source) error {
	if len(unbuilt(root, sources)) == 0 {
		return nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, w, filepath.Join(root, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	todo := unbuilt(root, sources) // another process may have built them while this one waited
	if len(todo) == 0 {
		return nil
	}
	// A build cache of its own: these servers fill it with gigabytes that
	// nothing needs again once they are linked. An interrupted build finds it
	// and goes on where it stopped.
	cache := filepath.Join(root, "gocache")
	for i, src := range todo {
		fmt.Fprintf(w, "stack: building %s (%d of %d; about %s on two cores, once)\n", src.tool, i+1, len(todo), src.estimate)
		if err := src.build(ctx, w, root, cache); err != nil {
			return fmt.Errorf("build %s from %s: %w", src.tool, src.dir, err)
		}
	}
	return os.RemoveAll(cache)
}

func unbuilt(root string, sources []source) []source {
	var todo []source
	for _, src := range sources {
		if !src.built(root) {
			todo = append(todo, src)
		}
	}
	return todo
}

func (s source) build(ctx context.Context, w io.Writer, root, cache string) error {
	var done, total atomic.Int64
	stop := report(w, string(s.tool), func() string {
		switch d, t := done.Load(), total.Load(); {
		case t == 0:
			return "downloading modules"
		case d < t:
			return fmt.Sprintf("%d of %d packages", d, t)
		default:
			return "linking"
		}
	})
	defer stop()

	var packages bytes.Buffer
	list := append([]string{"list", "-deps", "-f", "{{.ImportPath}}"}, s.packages()...)
	if err := s.goCommand(ctx, cache, &packages, io.Discard, list...); err != nil {
		return err
	}
	// "unsafe" is listed and never compiled.
	total.Store(int64(bytes.Count(packages.Bytes(), []byte("\n")) - 1))
	for _, pkg := range s.packages() {
		if err := s.buildPackage(ctx, root, cache, pkg, &lineCounter{count: &done}); err != nil {
			return err
		}
	}
	return nil
}

func (s source) buildPackage(ctx context.Context, root, cache, pkg string, compiled io.Writer) error {
	binary := s.binary(root, pkg)
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return err
	}
	partial := binary + ".partial"
	err := s.goCommand(ctx, cache, io.Discard, compiled, "build", "-v", "-trimpath", "-ldflags="+s.ldflags[pkg], "-o", partial, pkg)
	if err != nil {
		return err
	}
	return os.Rename(partial, binary)
}

// goCommand runs the go command in the tool's module. Its error holds the end
// of what the command wrote to stderr.
func (s source) goCommand(ctx context.Context, cache string, stdout, stderr io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.module()
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "CGO_ENABLED=0", "GOCACHE="+cache)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, io.MultiWriter(&text, stderr)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("the go command is not on PATH: %w", err)
		}
		return fmt.Errorf("go %s: %w\n%s", args[0], err, lastLines(text.String(), 20))
	}
	return nil
}

// lineCounter counts the lines written to it.
type lineCounter struct{ count *atomic.Int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.count.Add(int64(bytes.Count(p, []byte("\n"))))
	return len(p), nil
}

func lastLines(text string, n int) string {
	var lines []string
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
