//go:build !linux

package awsaccess

import (
	"errors"
	"os"
)

// memoryFile returns the path of a file that nobody else can read and that is
// removed by closeFile.
func memoryFile(content []byte) (path string, closeFile func(), err error) {
	f, err := os.CreateTemp("", "credentials-")
	if err != nil {
		return "", nil, err
	}
	remove := func() { os.Remove(f.Name()) }
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		remove()
		return "", nil, err
	}
	return f.Name(), remove, nil
}
