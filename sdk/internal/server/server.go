// Package server is the process side of the plugin ABI: the handshake, the
// services that every plugin host expects, streams of objects, and the end of
// the process. It knows nothing of the kinds of plugins.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	coreProtocol = 1 // of go-plugin
	appProtocol  = 2 // of Velero

	// window lets the host run ahead of a plugin that is busy. The host's
	// messages are 16 KiB; windows of an eighth of a megabyte halve the speed of
	// uploads, and larger ones cost memory without being faster.
	window = 512 << 10

	// shutdownTime is how long calls have to return after the host has asked for
	// the end. The host kills the process after two seconds.
	shutdownTime = 1500 * time.Millisecond

	// cleanUpTime is how long they have when the host has gone without a word,
	// since nobody is about to kill the process. An upload is aborted in this time.
	cleanUpTime = 5 * time.Second
)

// Launched reports whether a plugin host has started this process.
func Launched() bool { return os.Getenv("VELERO_PLUGIN") == "hello" }

// Limits are the time limits of a plugin process. A limit of 0 is none.
type Limits struct {
	Client time.Duration // from the handshake to the first connection
	Grace  time.Duration // from the end of the last connection to the end of the process
	Idle   time.Duration // without any call in progress
	Stall  time.Duration // for the host to take one message of an object
	Drain  time.Duration // for the host to end an upload that has failed
}

// LimitsFromEnv returns the limits, each of which a variable can change.
// Values that are no durations are ignored.
func LimitsFromEnv() Limits {
	return Limits{
		Client: duration("OADP_PLUGIN_CLIENT_TIMEOUT", time.Minute),
		Grace:  duration("OADP_PLUGIN_DISCONNECT_GRACE", 5*time.Second),
		Idle:   duration("OADP_PLUGIN_IDLE_EXIT", 0),
		Stall:  duration("OADP_PLUGIN_STALL_TIMEOUT", 10*time.Minute),
		Drain:  duration("OADP_PLUGIN_DRAIN_TIMEOUT", 10*time.Minute),
	}
}

func duration(name string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(name)); err == nil && d >= 0 {
		return d
	}
	return otherwise
}

// Server serves gRPC to one plugin host and ends when the host does.
type Server struct {
	log    *slog.Logger
	limits Limits

	running context.Context // ends when the process is about to
	end     context.CancelCauseFunc

	connections connections
	calls       atomic.Int64 // those in progress
	lastCall    atomic.Int64 // when one has last begun or ended, in Unix nanoseconds
}

// New returns a server with the given limits.
func New(log *slog.Logger, limits Limits) *Server {
	s := &Server{log: log, limits: limits}
	s.running, s.end = context.WithCancelCause(context.Background())
	s.connections.changed = make(chan int, 1)
	return s
}

// The reasons for which a process ends. All of them are normal.
var (
	errShutdown     = errors.New("the host has ended the operation")
	errSignal       = errors.New("a signal asked for the end")
	errParentDeath  = errors.New("the host process has died")
	errNoClient     = errors.New("no host has connected")
	errDisconnected = errors.New("the host has closed its connection")
	errIdle         = errors.New("no call has come for a long time")
)

// Serve writes the handshake line to stdout and serves the services until the
// host ends the operation or goes away. It returns an error only when it cannot
// begin.
func (s *Server) Serve(services []grpc.ServiceDesc) error {
	parentDied := parentDeath()
	signal.Ignore(os.Interrupt) // a terminal sends it to host and plugin alike
	// A log line must not end a process whose host has died: it cleans up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)

	transport, certificate, err := transportSecurity()
	if err != nil {
		return err
	}
	listener, network, address, err := listen()
	if err != nil {
		return err
	}
	var options []grpc.ServerOption
	if transport != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(transport)))
	}
	g := s.GRPC(services, options...)

	s.lastCall.Store(time.Now().UnixNano())
	served := make(chan error, 1)
	go func() { served <- g.Serve(countingListener{listener, &s.connections}) }()

	if err := handshake(os.Stdout, network, address, certificate); err != nil {
		g.Stop()
		return err
	}
	if err := silenceStdout(); err != nil {
		s.log.Debug("stdout stays open", "error", err)
	}

	go s.watch(parentDied, signals)
	select {
	case err := <-served:
		return fmt.Errorf("serving the plugin's socket: %w", err)
	case <-s.running.Done():
	}
	s.stop(g)
	s.log.Debug(`the plugin is done and ends; "received EOF, stopping recv loop" in the Velero log is the normal sign of it`,
		"reason", context.Cause(s.running).Error())
	return nil
}

// GRPC returns the server of the services and of those that every host expects.
func (s *Server) GRPC(services []grpc.ServiceDesc, options ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append(options,
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.ForceServerCodecV2(newCodec()),
	)...)
	for _, service := range slices.Concat(services, s.hostServices()) {
		g.RegisterService(&service, nil)
	}
	ready := health.NewServer()
	ready.SetServingStatus("plugin", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(g, ready)
	return g
}

// handshake writes the line that tells the host where to connect. A seventh
// field answers hosts that ask about multiplexing, which nothing here uses.
func handshake(w io.Writer, network, address, certificate string) error {
	line := fmt.Sprintf("%d|%d|%s|%s|grpc|%s", coreProtocol, appProtocol, network, address, certificate)
	if os.Getenv("PLUGIN_MULTIPLEX_GRPC") != "" {
		line += "|false"
	}
	if _, err := io.WriteString(w, line+"\n"); err != nil {
		return fmt.Errorf("writing the handshake line: %w", err)
	}
	return nil
}

// stop lets running calls return, for as long as the host will wait if there is
// one.
func (s *Server) stop(g *grpc.Server) {
	timeout := shutdownTime
	if cause := context.Cause(s.running); cause == errParentDeath || cause == errDisconnected {
		timeout = cleanUpTime
	}
	done := make(chan struct{})
	go func() {
		g.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(timeout):
		g.Stop()
	}
}

// watch ends the process for every reason but the host's own word.
func (s *Server) watch(parentDied <-chan struct{}, signals <-chan os.Signal) {
	var deadline <-chan time.Time
	reason := errNoClient
	if s.limits.Client > 0 {
		deadline = time.After(s.limits.Client)
	}
	var idle <-chan time.Time
	if s.limits.Idle > 0 {
		ticker := time.NewTicker(max(s.limits.Idle/10, time.Millisecond))
		defer ticker.Stop()
		idle = ticker.C
	}
	for {
		select {
		case <-s.running.Done():
			return
		case <-parentDied:
			s.end(errParentDeath)
		case <-signals:
			s.end(errSignal)
		case open := <-s.connections.changed:
			deadline = nil
			if open == 0 && s.limits.Grace > 0 {
				deadline, reason = time.After(s.limits.Grace), errDisconnected
			}
		case <-deadline:
			s.end(reason)
		case <-idle:
			if s.calls.Load() == 0 && time.Since(time.Unix(0, s.lastCall.Load())) > s.limits.Idle {
				s.end(errIdle)
			}
		}
	}
}

// context returns the context of a call: it ends with the call or when the
// process is about to end.
func (s *Server) context(ctx context.Context) (context.Context, context.CancelFunc) {
	s.calls.Add(1)
	s.lastCall.Store(time.Now().UnixNano())
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(s.running, func() { cancel(context.Cause(s.running)) })
	return ctx, func() {
		unhook()
		cancel(nil)
		s.lastCall.Store(time.Now().UnixNano())
		s.calls.Add(-1)
	}
}

// connections counts the host's connections.
type connections struct {
	mu      sync.Mutex
	open    int
	changed chan int // holds the latest count
}

func (c *connections) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += n
	select {
	case <-c.changed:
	default:
	}
	c.changed <- c.open
}

type countingListener struct {
	net.Listener
	connections *connections
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.connections.add(1)
	return &countedConn{Conn: conn, connections: l.connections}, nil
}

type countedConn struct {
	net.Conn
	connections *connections
	closed      sync.Once
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(func() { c.connections.add(-1) })
	return err
}
