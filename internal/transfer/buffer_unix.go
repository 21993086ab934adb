//go:build unix

package transfer

import "syscall"

// allocate returns size bytes outside of the Go heap: part buffers are large and
// long-lived, and on the heap the collector's pacing would let the process grow
// to twice their size. Pages that are never written take no memory.
func allocate(size int) ([]byte, error) {
	return syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func release(b []byte) {
	// The only failure is a slice that allocate did not return.
	_ = syscall.Munmap(b[:cap(b)])
}
