// Package host is the Velero server's side of a plugin: go-plugin's client, set
// up as the server sets it up, and the calls that the server makes. Unlike the
// server it lets tests see the process of the plugin, and misbehave as a host.
package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Launch says how to start a plugin.
type Launch struct {
	Path string
	Args []string
	Env  []string // all of the environment, but for what the handshake adds
}

func (l Launch) command() *exec.Cmd {
	cmd := exec.Command(l.Path, l.Args...)
	cmd.Env = l.Env
	return cmd
}

// Plugin is a running plugin.
type Plugin struct {
	Process
	Conn *grpc.ClientConn

	stop   func()
	stderr *record
}

// Start starts a plugin with go-plugin's client.
func Start(l Launch) (*Plugin, error) {
	p := &Plugin{stderr: &record{}}
	cmd := l.command()
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: 2, MagicCookieKey: "VELERO_PLUGIN", MagicCookieValue: "hello",
		},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Plugins:          plugin.PluginSet{connection: connectionPlugin{}},
		Logger:           hclog.NewNullLogger(),
		Stderr:           p.stderr,
		Cmd:              cmd,
		SkipHostEnv:      true,
	})
	p.stop = client.Kill
	err := p.connect(client, cmd)
	if err != nil {
		client.Kill()
		return nil, errors.Join(err, errors.New(p.Stderr()))
	}
	return p, nil
}

func (p *Plugin) connect(client *plugin.Client, cmd *exec.Cmd) error {
	if _, err := client.Start(); err != nil {
		return err
	}
	protocol, err := client.Client()
	if err != nil {
		return err
	}
	conn, err := protocol.Dispense(connection)
	if err != nil {
		return err
	}
	p.Conn = conn.(*grpc.ClientConn)
	p.Process, err = open(cmd.Process.Pid)
	return err
}

// Stop ends the plugin as the Velero server does when a task is over: it asks,
// waits for two seconds and then kills.
func (p *Plugin) Stop() {
	p.stop()
	p.Process.close()
}

// Kill ends the process without a chance to clean up, and waits for its end.
func (p *Plugin) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	return p.Ended(10 * time.Second)
}

// Stderr returns what the plugin has written to its standard error.
func (p *Plugin) Stderr() string { return p.stderr.String() }

// connection is the key under which the connection itself is dispensed.
const connection = "connection"

type connectionPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (connectionPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.ErrUnsupported
}

func (connectionPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// record keeps the last megabyte that was written to it.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

var _ io.Writer = (*record)(nil)

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.text.Len() > 1<<20 {
		r.text.Next(r.text.Len() / 2)
	}
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
