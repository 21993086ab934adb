package stack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
)

// Ports are taken below the range that the kernel gives to outgoing
// connections, so that none of those takes a port between the choice and the
// server's own bind.
const lowestPort, highestPort = 20000, 32767

// clientAddress returns a free address on the loopback interface for a server
// that clients are meant for: a published one while there are any.
func (s *Stack) clientAddress() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports == len(s.stage.Ports) {
		return s.address()
	}
	s.ports++
	return loopbackAddress(s.stage.Ports[s.ports-1]), nil
}

// address returns a free address on the loopback interface.
func (s *Stack) address() (string, error) {
	for {
		listener, err := listenLoopback()
		if err != nil {
			return "", err
		}
		port := listener.Addr().(*net.TCPAddr).Port
		if err := listener.Close(); err != nil {
			return "", err
		}
		if !slices.Contains(s.stage.Ports, port) {
			return loopbackAddress(port), nil
		}
	}
}

func listenLoopback() (net.Listener, error) {
	var last error
	for range 200 {
		listener, err := net.Listen("tcp", loopbackAddress(lowestPort+rand.IntN(highestPort-lowestPort)))
		if err == nil {
			return listener, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no free port on the loopback interface between %d and %d: %w", lowestPort, highestPort, last)
}

func loopbackAddress(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
