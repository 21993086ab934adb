package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const (
	// stopGrace is how long a server may take to end after SIGTERM.
	stopGrace = 5 * time.Second
	// logTail is how many bytes of a log go into an error or a failing test.
	logTail = 8 << 10
)

// server is one running process with its log.
type server struct {
	name    string
	logPath string
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process is gone
	// again starts another process like this one, with the same data.
	again func() (*server, error)
}

// Command is how a program is started.
func (s *Stack) Command(program tools.Program) ([]string, error) {
	argv := s.stage.Commands[program]
	if len(argv) == 0 {
		return nil, fmt.Errorf("%s is not among the tools that the stack was entered with", program)
	}
	return argv, nil
}

// start runs a program with a clean environment, to which env is added, and
// with its output in a log file named after it.
func (s *Stack) start(name string, program tools.Program, env []string, args ...string) (*server, error) {
	argv, err := s.Command(program)
	if err != nil {
		return nil, err
	}
	logs, err := s.folder("logs")
	if err != nil {
		return nil, err
	}
	clean, err := s.cleanEnvironment(name)
	if err != nil {
		return nil, err
	}
	p := &server{name: name, logPath: filepath.Join(logs, name+".log"), ended: make(chan struct{})}
	p.again = func() (*server, error) { return s.start(name, program, env, args...) }
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(argv[0], append(argv[1:len(argv):len(argv)], args...)...)
	p.cmd.Env = append(clean, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A process group of its own keeps Ctrl-C from the server: it is stopped
	// in order, or killed when the run dies.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	if err := p.run(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.servers = append(s.servers, p)
	s.mu.Unlock()
	return p, nil
}

// run starts the process and sees it through to its end.
func (p *server) run() error {
	failed := make(chan error)
	go func() {
		// Pdeathsig counts the death of the thread that forked: this one, which
		// stays until the process has ended.
		runtime.LockOSThread()
		err := p.cmd.Start()
		failed <- err
		if err == nil {
			_ = p.cmd.Wait()
			close(p.ended)
		}
	}()
	return <-failed
}

// cleanEnvironment is what every server starts with. Velero's plugins inherit
// it from Velero.
func (s *Stack) cleanEnvironment(name string) ([]string, error) {
	home, err := s.folder("home", name)
	if err != nil {
		return nil, err
	}
	tmp, err := s.folder("tmp", name)
	if err != nil {
		return nil, err
	}
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + home, "TMPDIR=" + tmp, runEnv + "=" + s.stage.Dir,
	}, nil
}

// await polls check until it succeeds. It fails when the process ends or ctx
// does, with the end of the log.
func (p *server) await(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.ended:
			cancel(fmt.Errorf("the process ended: %v", p.cmd.ProcessState))
		case <-ctx.Done():
		}
	}()
	if err := Await(ctx, func() error { return check(ctx) }); err != nil {
		return fmt.Errorf("%s: %w\n%s", p.name, err, tail(p.logPath, 0))
	}
	return nil
}

// Await polls check until it succeeds or ctx ends. Its error is then the last one
// of check and the cause of the end.
func Await(ctx context.Context, check func() error) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; %w", context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

// stop ends the process and waits until it is gone.
func (p *server) stop() {
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopGrace):
		p.kill()
	}
}

// kill ends the process without its consent and waits until it is gone.
func (p *server) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// attach adds what the server logs during a test to the test's output, should
// the test fail.
func (p *server) attach(t testing.TB) {
	var offset int64
	if info, err := os.Stat(p.logPath); err == nil {
		offset = info.Size()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.name, tail(p.logPath, offset))
		}
	})
}

// tail returns the end of the file, from offset at the earliest.
func tail(path string, offset int64) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	from := max(0, min(offset, int64(len(content))), int64(len(content)-logTail))
	return string(content[from:])
}
