package awsaccess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectTime, KeepAlive: 30 * time.Second}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &writeGuard{c, stallTime}, nil
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

// errStalled says that a body stood still for too long.
var errStalled = errors.New("no more data arrived")

// Guarded returns a client whose response bodies fail when a read makes no
// progress.
func Guarded(client aws.HTTPClient) aws.HTTPClient {
	return readGuard{client: client, limit: stallTime}
}

type readGuard struct {
	client aws.HTTPClient
	limit  time.Duration
}

// Do implements aws.HTTPClient.
func (g readGuard) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	resp, err := g.client.Do(r.WithContext(ctx))
	if err != nil {
		cancel()
		return resp, err
	}
	b := &guardedBody{ReadCloser: resp.Body, limit: g.limit, cancel: cancel}
	b.timer = time.AfterFunc(g.limit, cancel)
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
		err = fmt.Errorf("%w for %v: %w", errStalled, b.limit, err)
	}
	return n, err
}

func (b *guardedBody) Close() error {
	b.timer.Stop()
	b.cancel()
	return b.ReadCloser.Close()
}
