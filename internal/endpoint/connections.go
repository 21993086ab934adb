package endpoint

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// connections are those that some transports have open. SDKs copy a transport
// before they use it, so that nobody can ask it to close them.
type connections struct {
	mu   sync.Mutex
	open map[*connection]struct{}
}

// track makes a transport add the connections that it opens.
func (c *connections) track(tr *http.Transport) {
	tr.DialContext = c.tracked(tr.DialContext)
	if tr.DialTLSContext != nil {
		tr.DialTLSContext = c.tracked(tr.DialTLSContext)
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func (c *connections) tracked(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn := &connection{raw, c}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open == nil {
			c.open = map[*connection]struct{}{}
		}
		c.open[conn] = struct{}{}
		return conn, nil
	}
}

func (c *connections) close() {
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for conn := range open {
		_ = conn.Conn.Close() // a request that still uses it fails with that
	}
}

// connection leaves the set of open ones when it is closed.
type connection struct {
	net.Conn
	among *connections
}

func (c *connection) Close() error {
	c.among.mu.Lock()
	delete(c.among.open, c)
	c.among.mu.Unlock()
	return c.Conn.Close()
}
