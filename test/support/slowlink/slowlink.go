// Package slowlink makes a loopback server look like one at the far end of a
// network: every connection has a round trip time and a rate of its own.
package slowlink

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// Path describes what one connection goes through. The zero value of a field
// means no delay, or no limit.
type Path struct {
	// RoundTrip is the time from a request's last byte to the first byte of its
	// answer, over and above what the server needs. Half of it is added each
	// way, and a connection pays it once in full before its first byte, as it
	// does for the handshake of a real one.
	RoundTrip time.Duration
	// BytesPerSecond limits each direction of each connection by itself.
	BytesPerSecond int64
}

// burst is what may leave at once after a pause, so that a late timer does not
// lower the rate.
const burst = 64 << 10

// segment is the most that is delayed as one piece: at 40 MiB/s it takes less
// than a millisecond, far below the delays that the package is made for.
const segment = 32 << 10

// Proxy forwards connections to one address. It is safe for concurrent use.
type Proxy struct {
	path     Path
	target   string
	listener net.Listener
	ctx      context.Context
	stop     context.CancelFunc
	active   sync.WaitGroup
}

// Listen starts a proxy to the TCP address target on a free port of 127.0.0.1.
// It runs until Close.
func Listen(target string, path Path) (*Proxy, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Proxy{path: path, target: target, listener: listener, ctx: ctx, stop: stop}
	p.active.Go(p.accept)
	return p, nil
}

// Addr is the address to connect to, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close breaks all connections and returns when nothing of the proxy runs any
// more.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.active.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.active.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

// serve returns when both directions have ended. An orderly end of one leaves
// the other open; a broken one breaks both.
func (p *Proxy) serve(client *net.TCPConn) {
	defer client.Close()
	dialed, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		client.SetLinger(0)
		return
	}
	server := dialed.(*net.TCPConn)
	defer server.Close()

	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	// Closing the connections ends reads and writes that are blocked.
	defer context.AfterFunc(ctx, func() {
		for _, conn := range []*net.TCPConn{client, server} {
			conn.SetLinger(0)
			conn.Close()
		}
	})()

	if !sleepUntil(ctx, time.Now().Add(p.path.RoundTrip)) {
		return
	}
	var directions sync.WaitGroup
	forward := func(to, from *net.TCPConn) {
		if err := p.path.forward(ctx, to, from); err != nil {
			cancel()
		}
	}
	directions.Go(func() { forward(server, client) })
	directions.Go(func() { forward(client, server) })
	directions.Wait()
}

// packet is data on its way; one without data carries the end of the stream.
type packet struct {
	data []byte
	due  time.Time
}

// forward moves one direction until its end, which it passes on. What has been
// read is under way while more is read: the delay costs time but no rate.
func (path Path) forward(ctx context.Context, to, from *net.TCPConn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	inFlight := make(chan packet, path.window())
	spent := make(chan []byte, cap(inFlight)+2)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(inFlight)
		if err := path.send(ctx, from, inFlight, spent); err != nil {
			cancel(err)
		}
	})
	err := deliver(ctx, to, inFlight, spent)
	if err != nil {
		cancel(err)
		from.SetReadDeadline(time.Unix(1, 0))
	}
	reader.Wait()
	return err
}

// window is how many packets cover the path's bandwidth-delay product. More
// would be a buffer that no network has, fewer would lower the rate. Writers
// that send small pieces find them merged by the kernel as soon as the window
// is full.
func (path Path) window() int {
	const unlimited = 1 << 30
	rate := path.BytesPerSecond
	if rate == 0 {
		rate = unlimited
	}
	return int(float64(rate)*path.RoundTrip.Seconds()/2/segment) + 16
}

// send reads until the end of from and stamps each packet with the time at which
// a link of the path's rate and delay delivers its last byte.
func (path Path) send(ctx context.Context, from *net.TCPConn, inFlight chan<- packet, spent <-chan []byte) error {
	link := bucket{rate: path.BytesPerSecond}
	for {
		buffer := take(spent)
		n, err := from.Read(buffer) // a TCP connection never returns data together with io.EOF
		if err != nil && err != io.EOF {
			return err
		}
		next := packet{data: buffer[:n], due: link.departure(time.Now(), n).Add(path.RoundTrip / 2)}
		select {
		case inFlight <- next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err == io.EOF {
			return nil
		}
	}
}

func deliver(ctx context.Context, to *net.TCPConn, inFlight <-chan packet, spent chan<- []byte) error {
	for next := range inFlight {
		if !sleepUntil(ctx, next.due) {
			return context.Cause(ctx)
		}
		if len(next.data) == 0 {
			return to.CloseWrite()
		}
		if _, err := to.Write(next.data); err != nil {
			return err
		}
		spent <- next.data[:segment]
	}
	// No packet carried the end of the stream: the reader failed and has reported why.
	return context.Cause(ctx)
}

func take(spent <-chan []byte) []byte {
	select {
	case buffer := <-spent:
		return buffer
	default:
		return make([]byte, segment)
	}
}

// bucket is a token bucket on a virtual clock: lateness of one packet is made
// good by the next ones, so the rate holds over time.
type bucket struct {
	rate int64
	free time.Time // when the link has sent all that it was given
}

// departure is the time at which n bytes that arrive now have left.
func (b *bucket) departure(now time.Time, n int) time.Time {
	if b.rate == 0 {
		return now
	}
	if earliest := now.Add(-b.duration(burst)); b.free.Before(earliest) {
		b.free = earliest
	}
	b.free = b.free.Add(b.duration(n))
	if b.free.Before(now) {
		return now
	}
	return b.free
}

func (b *bucket) duration(n int) time.Duration {
	return time.Duration(float64(n) / float64(b.rate) * float64(time.Second))
}

// sleepUntil sleeps until a time. It reports false if ctx was cancelled before.
func sleepUntil(ctx context.Context, due time.Time) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
