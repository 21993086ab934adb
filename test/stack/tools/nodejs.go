package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// NodeJS returns the path of Node.js, which plugins in JavaScript run on. It is
// the machine's; InstallNodeJS may install it. The error says what is left out.
func NodeJS() (string, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("plugins written in JavaScript are not tried, since there is no Node.js: %w", err)
	}
	return path, nil
}

// InstallNodeJS installs Node.js from Debian's package where it is missing and
// the user may install packages. It says so when that fails.
func InstallNodeJS(ctx context.Context, w io.Writer) {
	if _, err := NodeJS(); err == nil {
		return
	}
	err := errors.New("only root may install packages")
	if os.Geteuid() == 0 {
		ctx, cancel := context.WithTimeout(ctx, packageTimeout)
		defer cancel()
		err = installPackage(ctx, "nodejs")
	}
	if err != nil {
		fmt.Fprintf(w, "stack: no Node.js, and no tests that need it: %v; install it by hand\n", err)
	}
}

func installPackage(ctx context.Context, name string) error {
	return afterUpdate(ctx, func() error {
		return aptCommand(ctx, "", "apt-get", "install", "-y", "--no-install-recommends", name)
	})
}
