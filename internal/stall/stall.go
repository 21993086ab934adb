// Package stall ends connections that stand still. A transfer of many hours is
// legitimate; one that makes no progress is not.
package stall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Limit is how long a connection may stand still in the middle of a transfer.
const Limit = 2 * time.Minute

// ConnectTime is how long a connection may take to be made.
const ConnectTime = 10 * time.Second

// ErrStalled says that nothing came for too long.
var ErrStalled = errors.New("no more data arrived")

// Dial connects to a server. A write to the connection that makes no progress
// for Limit fails.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: ConnectTime, KeepAlive: 30 * time.Second}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &writeGuard{c, Limit}, nil
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

// Send is how a client or a transport sends a request.
type Send func(*http.Request) (*http.Response, error)

// Do sends a request. A read of the answer's body that makes no progress for the
// limit fails with [ErrStalled].
func Do(r *http.Request, limit time.Duration, send Send) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	resp, err := send(r.WithContext(ctx))
	if err != nil {
		cancel()
		return resp, err
	}
	b := &guardedBody{ReadCloser: resp.Body, limit: limit, cancel: cancel}
	b.timer = time.AfterFunc(limit, cancel)
	b.timer.Stop()
	resp.Body = b
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
		err = fmt.Errorf("%w for %v: %w", ErrStalled, b.limit, err)
	}
	return n, err
}

func (b *guardedBody) Close() error {
	b.timer.Stop()
	b.cancel()
	return b.ReadCloser.Close()
}
