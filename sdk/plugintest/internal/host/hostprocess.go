package host

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// HostProcess is a host in a process of its own, which a row can kill. The plugin is
// its child.
type HostProcess struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	Plugin process.Handle
}

// Put is an upload that the host process begins and never ends.
type Put struct {
	Store  string
	Config map[string]string
	Bucket string
	Key    string
	Bytes  int64 // sent before the host reports
}

type hostTask struct {
	Launch Launch
	Put    *Put
}

// StartHostProcess starts a host that starts the plugin, begins the upload if one is
// given, and then waits for its end.
func StartHostProcess(ctx context.Context, l Launch, put *Put) (*HostProcess, error) {
	part, err := role{Host: &hostTask{l, put}}.entry()
	if err != nil {
		return nil, err
	}
	d := &HostProcess{cmd: exec.Command("/proc/self/exe")}
	d.cmd.Env = append(os.Environ(), part)
	d.cmd.Stderr = os.Stderr
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	if d.Plugin, err = firstReport(ctx, stdout); err != nil {
		d.Kill()
		return nil, fmt.Errorf("a host in a process of its own: %w", err)
	}
	return d, nil
}

// firstReport reads the process id of the plugin.
func firstReport(ctx context.Context, stdout io.Reader) (process.Handle, error) {
	type answer struct {
		pid int
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		a.err = json.NewDecoder(bufio.NewReader(stdout)).Decode(&a.pid)
		answers <- a
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return process.Handle{}, a.err
		}
		return process.Open(a.pid)
	case <-ctx.Done():
		return process.Handle{}, context.Cause(ctx)
	}
}

// Kill ends the host, and only the host, without a chance to clean up.
func (d *HostProcess) Kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
	d.stdin.Close()
}

func (h *hostTask) run() error {
	p, err := Start(h.Launch)
	if err != nil {
		return err
	}
	if h.Put != nil {
		if err := h.Put.begin(p); err != nil {
			p.Stop()
			return err
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(p.PID()); err != nil {
		p.Stop()
		return err
	}
	// Stdin also ends when the suite's process ends without having killed this one.
	io.Copy(io.Discard, os.Stdin)
	p.Stop()
	return nil
}

func (b *Put) begin(p *Plugin) error {
	ctx := context.Background()
	s := wire.Store{Conn: p.Conn, Name: b.Store, Bucket: b.Bucket}
	if err := s.Init(ctx, b.Config); err != nil {
		return err
	}
	up, err := s.Upload(ctx, b.Key)
	if err != nil {
		return err
	}
	return up.SendAll(io.LimitReader(zeros{}, b.Bytes))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
