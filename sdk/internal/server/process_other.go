//go:build !linux

package server

import (
	"errors"
	"net"
	"os"
	"time"
)

func peerUID(net.Conn) (int, error) {
	return 0, errors.ErrUnsupported
}

// parentDeath returns a channel that is closed when the process that started
// this one has ended.
func parentDeath() <-chan struct{} {
	parent := os.Getppid()
	dead := make(chan struct{})
	go func() {
		for os.Getppid() == parent {
			time.Sleep(time.Second)
		}
		close(dead)
	}()
	return dead
}

func silenceStdout() error { return nil }
