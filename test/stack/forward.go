package stack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
)

// forwards carry connections from the machine's loopback interface into a
// namespace, each port to the same port. A socket in the file system leads
// across: it belongs to no network namespace.
type forwards struct {
	ports     []int
	listeners []net.Listener
}

// openForwards binds n ports of the machine.
func openForwards(n int) (*forwards, error) {
	f := &forwards{}
	for range n {
		listener, err := listenLoopback()
		if err != nil {
			f.close()
			return nil, err
		}
		f.listeners = append(f.listeners, listener)
		f.ports = append(f.ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return f, nil
}

func (f *forwards) close() {
	for _, listener := range f.listeners {
		_ = listener.Close()
	}
	f.listeners = nil
}

// serve forwards connections to the inner program's sockets in dir.
func (f *forwards) serve(dir string) {
	for i, listener := range f.listeners {
		go relay(listener, "unix", forwardSocket(dir, f.ports[i]))
	}
}

// answerForwards takes the connections of forwards inside the namespace.
func answerForwards(here stage) error {
	if here.Isolation == loopback {
		return nil
	}
	for _, port := range here.Ports {
		listener, err := net.Listen("unix", forwardSocket(here.Dir, port))
		if err != nil {
			return err
		}
		go relay(listener, "tcp", loopbackAddress(port))
	}
	return nil
}

func forwardSocket(dir string, port int) string {
	return filepath.Join(dir, fmt.Sprintf("port-%d", port))
}

// relay connects everybody who connects to listener with an address, until
// listener is closed.
func relay(listener net.Listener, network, address string) {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		go func() {
			defer client.Close()
			server, err := net.Dial(network, address)
			if err != nil {
				return
			}
			defer server.Close()
			join(client, server)
		}()
	}
}

// join copies both ways until both have ended.
func join(a, b net.Conn) {
	var copies sync.WaitGroup
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	copies.Go(func() { pipe(a, b) })
	copies.Go(func() { pipe(b, a) })
	copies.Wait()
}
