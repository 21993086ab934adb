package stack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken below the range that the kernel gives to outgoing
// connections, so that none of those takes a port between the choice and the
// server's own bind.
const lowestPort, highestPort = 20000, 32767

// address returns a free address on the loopback interface.
func (s *Stack) address() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports < len(s.stage.Ports) {
		s.ports++
		return loopbackAddress(s.stage.Ports[s.ports-1]), nil
	}
	for range 200 {
		address := loopbackAddress(lowestPort + rand.IntN(highestPort-lowestPort))
		listener, err := net.Listen("tcp", address)
		if err == nil {
			return address, listener.Close()
		}
	}
	return "", fmt.Errorf("no free port on the loopback interface between %d and %d", lowestPort, highestPort)
}

func loopbackAddress(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
