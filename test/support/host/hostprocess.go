package host

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Job is what a host in a process of its own does with its plugin.
type Job struct {
	Launch Launch
	Store  string // its registered name; none leaves out all calls to it
	Config map[string]string
	Bucket string
	Key    string
	Body   Body
	Do     string // put, get, list or execute
}

// The lines that a host in a process of its own prints.
const (
	lineStarted = "started" // with the process ID of the plugin
	lineMiddle  = "middle"  // a put or get is half done, another call is about to begin
	lineDone    = "done"    // with the error of the call, if any
)

// HostProcess is a host in a process of its own, which a test can kill or stop.
type HostProcess struct {
	Process
	Plugin Process

	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
}

// StartHostProcess starts program, which is test/faults/cmd/host, and waits until it has
// started its plugin.
func StartHostProcess(program string, job Job) (*HostProcess, error) {
	text, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	d := &HostProcess{cmd: exec.Command(program, string(text))}
	d.cmd.Stderr = os.Stderr
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.lines = bufio.NewReader(stdout)
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	if d.Process, err = open(d.cmd.Process.Pid); err == nil {
		err = d.started()
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *HostProcess) started() error {
	text, err := d.await(lineStarted)
	if err != nil {
		return err
	}
	var pid int
	if _, err := fmt.Sscan(text, &pid); err != nil {
		return err
	}
	d.Plugin, err = open(pid)
	return err
}

// Middle waits until a put or get is half done, or another call is about to
// begin.
func (d *HostProcess) Middle() error {
	_, err := d.await(lineMiddle)
	return err
}

// GoOn lets a put or get continue that is half done.
func (d *HostProcess) GoOn() error {
	_, err := d.stdin.Write([]byte{'\n'})
	return err
}

// Done waits for the end of the call and returns its error.
func (d *HostProcess) Done() error {
	text, err := d.await(lineDone)
	if err == nil && text != "" {
		err = errors.New(text)
	}
	return err
}

func (d *HostProcess) await(want string) (string, error) {
	line, err := d.lines.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("waiting for the host to be %s: %w", want, err)
	}
	word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if word != want {
		return "", fmt.Errorf("the host says %q and not %s", line, want)
	}
	return rest, nil
}

// Kill ends the host, and only the host, without a chance to clean up.
func (d *HostProcess) Kill() error {
	err := d.Signal(syscall.SIGKILL)
	_ = d.cmd.Wait() // the signal is its error
	return err
}

// Close ends the host, if it was not killed, and closes its pipes and the handles of
// the processes. The host stops its plugin.
func (d *HostProcess) Close() {
	_ = d.stdin.Close()
	if d.cmd.ProcessState == nil {
		_ = d.cmd.Wait()
	}
	d.Process.close()
	d.Plugin.close()
}

// Run does the job: it is the main function of test/faults/cmd/host.
func (j Job) Run() error {
	p, err := Start(j.Launch)
	if err != nil {
		return err
	}
	defer p.Stop()
	fmt.Println(lineStarted, p.PID)
	if j.Do != "" {
		text := ""
		if err := j.call(p); err != nil {
			text = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Println(lineDone, text)
	}
	// Stdin ends when the test has no further use for this process.
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func (j Job) call(p *Plugin) error {
	ctx := context.Background()
	s := Store{Plugin: p, Name: j.Store, Bucket: j.Bucket}
	if j.Config != nil {
		if err := s.Init(ctx, j.Config); err != nil {
			return err
		}
	}
	switch j.Do {
	case "put":
		return s.Put(ctx, j.Key, &halfway{r: j.Body.Reader(), left: j.Body.Size / 2})
	case "get":
		object, err := s.Get(ctx, j.Key)
		if err != nil {
			return err
		}
		return j.Body.Compare(&halfway{r: object, left: j.Body.Size / 2})
	case "list":
		underWay()
		_, err := s.List(ctx, j.Key)
		return err
	case "execute":
		underWay()
		_, err := p.Call(ctx, "generated.BackupItemAction", "Execute",
			Message{}.Text(1, j.Store).Text(2, `{"kind":"Pod"}`).Text(3, `{}`))
		return err
	}
	return fmt.Errorf("no call %q", j.Do)
}

func underWay() { fmt.Println(lineMiddle) }

// halfway reads a body. At half of it, it prints the line middle and waits for a line
// on standard input before it goes on.
type halfway struct {
	r    io.Reader
	left int64
}

func (h *halfway) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if h.left > 0 && h.left <= int64(n) {
		underWay()
		if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
			return n, fmt.Errorf("nobody said to go on: %w", err)
		}
	}
	h.left -= int64(n)
	return n, err
}
