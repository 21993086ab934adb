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

// Doomed is a host in a process of its own that can be killed, with a plugin
// below it.
type Doomed struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	Plugin process.Handle
}

// Put is what a doomed host does with its plugin: it begins an upload and never
// ends it.
type Put struct {
	Store  string
	Config map[string]string
	Bucket string
	Key    string
	Bytes  int64 // sent before the host reports
}

type doomedHost struct {
	Launch Launch
	Put    *Put
}

// StartDoomed starts a host that starts the plugin, begins the upload if one is
// given, and then waits for its end.
func StartDoomed(ctx context.Context, l Launch, put *Put) (*Doomed, error) {
	part, err := role{Host: &doomedHost{l, put}}.entry()
	if err != nil {
		return nil, err
	}
	d := &Doomed{cmd: exec.Command("/proc/self/exe")}
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
func (d *Doomed) Kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
	d.stdin.Close()
}

func (h *doomedHost) run() error {
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
	// Stdin ends when the suite does without having killed this process.
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
