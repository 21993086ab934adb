// Package process starts a plugin's process and watches it from outside. It
// works on Linux only: it reads /proc and uses process file descriptors.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Options say what to run.
type Options struct {
	Path string   // the executable
	Args []string // argv; the first is the name that the process sees
	Env  []string // all of the environment; of equal names the last counts
	Attr *syscall.SysProcAttr
}

// Process is a child with /dev/null as stdin and pipes as stdout and stderr.
type Process struct {
	cmd            *exec.Cmd
	stdout, stderr *Stream
	started        time.Time
	done           chan struct{}
	ended          time.Time // ended and waitErr are valid once done is closed
	waitErr        error
}

// Start runs a process. Both streams have to be read by the caller: see
// [Stream] and [Process.Drain].
func Start(o Options) (*Process, error) {
	p := &Process{done: make(chan struct{})}
	p.cmd = &exec.Cmd{Path: o.Path, Args: o.Args, Env: o.Env, SysProcAttr: o.Attr}
	var writers []*os.File
	for _, s := range []struct {
		stream **Stream
		out    *io.Writer
	}{{&p.stdout, &p.cmd.Stdout}, {&p.stderr, &p.cmd.Stderr}} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, closeAll(writers))
		}
		*s.stream, *s.out = newStream(r), w
		writers = append(writers, w)
	}
	p.started = time.Now()
	err := errors.Join(p.cmd.Start(), closeAll(writers))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the plugin: %w", err), p.stdout.Close(), p.stderr.Close())
	}
	go func() {
		p.waitErr = p.cmd.Wait()
		p.ended = time.Now()
		close(p.done)
	}()
	return p, nil
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Drain reads both streams to their end in the background.
func (p *Process) Drain() {
	go io.Copy(io.Discard, p.stdout)
	go io.Copy(io.Discard, p.stderr)
}

func (p *Process) PID() int              { return p.cmd.Process.Pid }
func (p *Process) Stdout() *Stream       { return p.stdout }
func (p *Process) Stderr() *Stream       { return p.stderr }
func (p *Process) Started() time.Time    { return p.started }
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal. A process that has ended is no error.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Kill ends the process at once and waits for its end.
func (p *Process) Kill() {
	_ = p.Signal(os.Kill) // it fails only when there is nothing to kill
	<-p.done
}

// Running reports whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Wait waits for the end of the process and returns how it ended.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		return Exit{}, fmt.Errorf("the process still runs: %w", context.Cause(ctx))
	}
	status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	e := Exit{Code: p.cmd.ProcessState.ExitCode(), At: p.ended, Err: p.waitErr}
	if status.Signaled() {
		e.Signal = status.Signal()
	}
	return e, nil
}

// Exit is the end of a process.
type Exit struct {
	Code   int            // -1 when a signal ended it
	Signal syscall.Signal // 0 when it ended by itself
	At     time.Time
	Err    error // as [exec.Cmd.Wait] returns it
}

func (e Exit) String() string {
	if e.Signal != 0 {
		return "ended by signal " + e.Signal.String()
	}
	return fmt.Sprintf("exit code %d", e.Code)
}
