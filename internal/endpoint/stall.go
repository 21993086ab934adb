package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"
)

// StallTime is how long a connection may stand still in the middle of a transfer.
// A transfer of many hours is legitimate; one that makes no progress is not.
const StallTime = 2 * time.Minute

// ConnectTime bounds each of the two steps of opening a connection: reaching the
// server and the TLS handshake.
const ConnectTime = 10 * time.Second

// ErrStalled reports an answer of which nothing more arrived for too long.
var ErrStalled = errors.New("nothing arrived")

// Dial connects to a server. A write to the connection that makes no progress
// for StallTime fails.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: ConnectTime, KeepAlive: 30 * time.Second}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &writeGuard{c, StallTime}, nil
}

// writeGuard fails a write that makes no progress.
type writeGuard struct {
	net.Conn
	limit time.Duration
}

func (c *writeGuard) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Limits are the time limits of an answer.
type Limits struct {
	Head time.Duration // from the start of the request to the head of the answer; 0 is none
	Body time.Duration // of a read of the answer's body
}

// Do sends a request by the method Do of a client or RoundTrip of a transport. An
// answer that exceeds a limit fails with [ErrStalled].
func (l Limits) Do(r *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	return l.Guard(r.Context(), func(ctx context.Context) (*http.Response, error) { return send(r.WithContext(ctx)) })
}

// Guard is Do for a request that is not an [http.Request] yet. send sends it with
// the context that it is given.
func (l Limits) Guard(ctx context.Context, send func(context.Context) (*http.Response, error)) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(math.MaxInt64, cancel)
	if l.Head > 0 {
		timer.Reset(l.Head)
	}
	resp, err := send(ctx)
	if !timer.Stop() {
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, fmt.Errorf("%w for %v", ErrStalled, l.Head)
	}
	if err != nil {
		cancel()
		return resp, err
	}
	resp.Body = &guardedBody{ReadCloser: resp.Body, limit: l.Body, cancel: cancel, timer: timer}
	return resp, nil
}

type guardedBody struct {
	io.ReadCloser
	limit  time.Duration
	cancel context.CancelFunc
	timer  *time.Timer
}

func (b *guardedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.limit)
	n, err := b.ReadCloser.Read(p)
	if !b.timer.Stop() && n == 0 && err != nil && err != io.EOF {
		err = fmt.Errorf("%w for %v", ErrStalled, b.limit)
	}
	return n, err
}

func (b *guardedBody) Close() error {
	b.timer.Stop()
	b.cancel()
	return b.ReadCloser.Close()
}
