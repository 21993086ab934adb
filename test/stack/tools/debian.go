package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// packageTimeout bounds the attempts to get a package, on a machine that
// reaches no archive.
const packageTimeout = 2 * time.Minute

// unpackMissing returns the commands of a tool that comes from a package of
// Debian's, which it unpacks below root if it is not there yet. Nothing is
// installed. It returns no commands, and says why, where that is impossible.
func (s source) unpackMissing(ctx context.Context, w io.Writer, root string) Commands {
	if !s.built(root) {
		ctx, cancel := context.WithTimeout(ctx, packageTimeout)
		defer cancel()
		if err := s.unpack(ctx, root); err != nil {
			fmt.Fprintf(w, "stack: no %s, and no tests that need it: %v; install it by hand\n", s.tool, err)
			return nil
		}
	}
	return s.commands(root)
}

func (s source) unpack(ctx context.Context, root string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(root, string(s.tool)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := s.download(ctx, dir); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("apt-get downloaded %d packages in place of %s", len(files), s.debian)
	}
	if err := aptCommand(ctx, dir, "dpkg-deb", "-x", files[0], "content"); err != nil {
		return err
	}
	for _, p := range s.programs {
		unpacked := filepath.Join(dir, "content", "usr", "sbin", string(p.name))
		binary := s.binary(root, p.pkg)
		if err := errors.Join(os.MkdirAll(filepath.Dir(binary), 0o755), os.Rename(unpacked, binary)); err != nil {
			return err
		}
	}
	return nil
}

// download fetches the package into dir.
func (s source) download(ctx context.Context, dir string) error {
	return afterUpdate(ctx, func() error { return aptCommand(ctx, dir, "apt-get", "download", s.debian) })
}

// afterUpdate tries do, and once more with fresh lists of packages: a machine
// may never have asked for them.
func afterUpdate(ctx context.Context, do func() error) error {
	err := do()
	if err == nil || errors.Is(err, exec.ErrNotFound) || ctx.Err() != nil {
		return err
	}
	if updateErr := aptCommand(ctx, "", "apt-get", "update"); updateErr != nil {
		return errors.Join(err, updateErr)
	}
	return do()
}

func aptCommand(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, lastLines(string(out), 5))
	}
	return nil
}
