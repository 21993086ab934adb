package awsaccess

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile returns the path of a file that exists in memory only, and nowhere
// once it is closed or the process ends.
func memoryFile(content []byte) (path string, closeFile func(), err error) {
	fd, err := unix.MemfdCreate("credentials", unix.MFD_CLOEXEC)
	if err != nil {
		return "", nil, fmt.Errorf("error creating a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "credentials")
	if _, err := f.Write(content); err != nil {
		f.Close()
		return "", nil, fmt.Errorf("error writing a file in memory: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), func() { f.Close() }, nil
}
