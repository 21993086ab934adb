package tools

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// npmTimeout bounds the download of a tool's packages, on a machine that reaches
// no registry.
const npmTimeout = 5 * time.Minute

// npmInstallMissing returns the commands of a tool that npm installs below root,
// in the versions of its lock file, if it is not there yet. It returns no
// commands, and says why, where that is impossible.
func (s source) npmInstallMissing(ctx context.Context, w io.Writer, root string) Commands {
	node, err := NodeJS()
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, npmTimeout)
		defer cancel()
		err = s.npmInstall(ctx, w, root)
	}
	if err != nil {
		fmt.Fprintf(w, "stack: no %s, and no tests that need it: %v; install Node.js 20 or later with npm\n", s.tool, err)
		return nil
	}
	commands := Commands{}
	for _, p := range s.programs {
		commands[p.name] = []string{node, s.script(root, p.name)}
	}
	return commands
}

// script is the JavaScript of a program.
func (s source) script(root string, program Program) string {
	return filepath.Join(s.npmFolder(root), "node_modules", ".bin", string(program))
}

func (s source) npmFolder(root string) string { return filepath.Join(root, string(s.tool)+"-"+s.key) }

// npmInstall installs the packages into a folder that gets its name when it is
// complete. Scripts of packages do not run.
func (s source) npmInstall(ctx context.Context, w io.Writer, root string) error {
	folder := s.npmFolder(root)
	if exists(folder) {
		return nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, w, filepath.Join(root, "lock-"+string(s.tool)))
	if err != nil {
		return err
	}
	defer unlock()
	if exists(folder) {
		return nil // another process has installed it meanwhile
	}
	partial := folder + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.CopyFS(partial, os.DirFS(s.module())); err != nil {
		return err
	}
	fmt.Fprintf(w, "stack: installing %s with npm (half a minute, once)\n", s.tool)
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev")
	cmd.Dir = partial
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, lastLines(string(out), 10))
	}
	return os.Rename(partial, folder)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
