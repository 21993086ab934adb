package server

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// peerUID returns the user at the other end of a Unix socket.
func peerUID(conn net.Conn) (int, error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("%T is not a Unix socket", conn)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(cred.Uid), nil
}

// parentDeath returns a channel that is closed when the process that started
// this one has ended. It must be called early, while that process lives.
func parentDeath() <-chan struct{} {
	parent := os.Getppid()
	dead := make(chan struct{})
	if parent == 0 {
		return dead // the parent is outside of this pid namespace
	}
	process, err := os.FindProcess(parent)
	if err != nil || os.Getppid() != parent {
		go watchParentID(parent, dead)
		return dead
	}
	go func() {
		// An error does not tell that the parent is gone; its id does.
		_ = process.WithHandle(waitForEnd)
		_ = process.Release()
		watchParentID(parent, dead)
	}()
	return dead
}

// waitForEnd waits until the process has ended that a process descriptor stands
// for.
func waitForEnd(pidfd uintptr) {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		if n, err := unix.Poll(poll, -1); n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

func watchParentID(parent int, dead chan<- struct{}) {
	for os.Getppid() == parent {
		time.Sleep(time.Second)
	}
	close(dead)
}

// silenceStdout sends what anybody still prints to /dev/null. The host reads
// nothing from stdout but the handshake, and a pipe that closes while it is
// scanned makes it log an error.
func silenceStdout() error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	return unix.Dup3(int(null.Fd()), 1, 0)
}
