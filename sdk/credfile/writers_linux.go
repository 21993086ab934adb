package credfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockOutWriters keeps others from opening a file for writing until f is closed:
// they wait. The kernel refuses this while somebody has it open for writing. It
// is not possible on every file system, nor with a file of another user.
func lockOutWriters(f *os.File) state {
	result := unknown
	raw, err := f.SyscallConn()
	if err != nil {
		return unknown
	}
	err = raw.Control(func(fd uintptr) {
		switch _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK); {
		case err == nil:
			result = whole
		case errors.Is(err, unix.EAGAIN):
			result = beingWritten
		}
	})
	if err != nil {
		return unknown
	}
	return result
}
