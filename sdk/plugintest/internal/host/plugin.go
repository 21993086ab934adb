package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
)

// Plugin is a plugin under go-plugin's client.
type Plugin struct {
	*process.Process
	Conn    *grpc.ClientConn
	Address net.Addr

	client *plugin.Client
	log    *lockedBuffer
}

// Start starts a plugin as the Velero server does. When it fails the process,
// if any, is returned beside the error and has ended.
func Start(l Launch) (*Plugin, error) {
	p := &Plugin{log: &lockedBuffer{}}
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  protocolVersion,
			MagicCookieKey:   cookieKey,
			MagicCookieValue: cookieValue,
		},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Plugins:          plugin.PluginSet{connection: &connectionPlugin{}},
		Logger:           newClientLog(p.log),
		StartTimeout:     time.Minute,
		SkipHostEnv:      true, // Launch.Env is the whole environment
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: l.Temp},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			return &childRunner{launch: l, env: cmd.Env, started: func(c *process.Process) { p.Process = c }}, nil
		},
	})
	if err := p.connect(); err != nil {
		p.client.Kill()
		if p.Process == nil {
			return nil, err
		}
		return p, err
	}
	return p, nil
}

func (p *Plugin) connect() error {
	var err error
	if p.Address, err = p.client.Start(); err != nil {
		return err
	}
	protocol, err := p.client.Client()
	if err != nil {
		return err
	}
	conn, err := protocol.Dispense(connection)
	if err != nil {
		return err
	}
	p.Conn = conn.(*grpc.ClientConn)
	return nil
}

// Stop ends the plugin as the Velero server does when a task is over: it asks,
// waits for two seconds and then kills.
func (p *Plugin) Stop() { p.client.Kill() }

// ClientErrors returns what go-plugin's client itself logged as errors.
func (p *Plugin) ClientErrors() []string {
	var found []string
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, "[ERROR]") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// SocketFile returns the path of the plugin's socket, or "" when it has none in
// the file system.
func (p *Plugin) SocketFile() string {
	return Handshake{Network: p.Address.Network(), Address: p.Address.String()}.SocketFile()
}

// connection is the key under which the connection itself is dispensed; the
// messages are those of package abi.
const connection = "connection"

type connectionPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (*connectionPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.ErrUnsupported
}

func (*connectionPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// childRunner lets go-plugin's client run a process.Process.
type childRunner struct {
	launch  Launch
	env     []string
	started func(*process.Process)
	child   *process.Process
}

func (r *childRunner) Start(context.Context) error {
	// The client sets this one for runners other than its own; the Velero server
	// uses the client's own.
	env := slices.DeleteFunc(slices.Concat(r.launch.Env, r.env), func(entry string) bool {
		return strings.HasPrefix(entry, plugin.EnvUnixSocketDir+"=")
	})
	child, err := r.launch.start(env)
	if err != nil {
		return err
	}
	r.child = child
	r.started(child)
	return nil
}

func (r *childRunner) Wait(ctx context.Context) error {
	exit, err := r.child.Wait(ctx)
	if err != nil {
		return err
	}
	return exit.Err
}

func (r *childRunner) Kill(context.Context) error {
	if r.child == nil {
		return nil
	}
	return r.child.Signal(os.Kill)
}

func (r *childRunner) ID() string {
	if r.child == nil {
		return ""
	}
	return strconv.Itoa(r.child.PID())
}

func (r *childRunner) Stdout() io.ReadCloser { return r.child.Stdout() }
func (r *childRunner) Stderr() io.ReadCloser { return r.child.Stderr() }
func (r *childRunner) Name() string          { return r.launch.Path }

func (r *childRunner) Diagnose(context.Context) string {
	return fmt.Sprintf("stderr: %s", r.child.Stderr().Bytes())
}

func (*childRunner) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (*childRunner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// clientLog keeps go-plugin's client from parsing the plugin's stderr, on which
// it panics when a line has a field of an unexpected type.
type clientLog struct{ hclog.Logger }

func newClientLog(out io.Writer) hclog.Logger {
	return clientLog{hclog.New(&hclog.LoggerOptions{Output: out, Level: hclog.Debug})}
}

func (clientLog) Named(string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off})
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
