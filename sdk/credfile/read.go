package credfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Velero writes the files with credentials in place, before each operation on a
// location and while other processes read them: it opens a file, which empties
// it, and then writes. A plain read can find it empty or cut off.

const (
	// rewriteTime bounds how long a reading waits for a file to be written, also
	// on a node that is busy.
	rewriteTime = 2 * time.Second
	// retryPause is the time between two looks at a file that is being written.
	retryPause = 2 * time.Millisecond
	// quietTime is how long a file must have been unchanged to count as written
	// where the system cannot tell whether somebody has it open for writing.
	quietTime = 50 * time.Millisecond
	// maxFileSize bounds what is read. Credentials take a few kilobytes.
	maxFileSize = 1 << 20
)

// ReadFile returns the whole text of a file that Velero may be rewriting: as
// UTF-8, without a byte order mark (see Text). A caller parses what it returns
// and does not open the file a second time, as the content may differ by then.
//
// complete may be nil. It gets the text and returns an error when something is
// missing in it, such as a profile. Where the system cannot tell whether a file is
// being written, an incomplete one is read again for up to two seconds; the error
// of complete is then the error of ReadFile.
func ReadFile(ctx context.Context, path string, complete func(text []byte) error) ([]byte, error) {
	var text []byte
	_, err := read(ctx, path, lockOutWriters, func(data []byte) (err error) {
		if text, err = Text(data); err != nil {
			return &fault.Error{Code: Malformed, What: "reading the credentials file " + path, Err: err}
		}
		if complete == nil {
			return nil
		}
		return complete(text)
	})
	if err != nil {
		return nil, err
	}
	return text, nil
}

// ReadBinary returns the bytes of a file that Velero may be rewriting, such as
// that of an encryption key.
func ReadBinary(ctx context.Context, path string) ([]byte, error) {
	return read(ctx, path, lockOutWriters, func([]byte) error { return nil })
}

func read(ctx context.Context, path string, lock func(*os.File) state, complete func([]byte) error) ([]byte, error) {
	deadline := time.Now().Add(rewriteTime)
	var last view
	for {
		now, err := look(path, lock)
		if err != nil {
			return nil, err
		}
		var incomplete error
		if now.state != beingWritten {
			if incomplete = complete(now.data); incomplete == nil && (now.state == whole || now.settled(last)) {
				return now.data, nil
			}
			if now.state == whole {
				return nil, incomplete
			}
		}
		if !now.same(last) {
			last = now
		}
		if time.Now().After(deadline) {
			if incomplete != nil {
				return nil, incomplete
			}
			return nil, fmt.Errorf("%s is being written for more than %s", path, rewriteTime)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting until %s is written: %w", path, context.Cause(ctx))
		case <-time.After(retryPause):
		}
	}
}

// state is what is known about a file that was read.
type state int

const (
	unknown      state = iota // the system does not tell whether it is being written
	whole                     // nobody has it open for writing
	beingWritten              // somebody has, and it was not read
)

// view is a file at one moment.
type view struct {
	state    state
	data     []byte
	size     int64
	modified time.Time
	seen     time.Time
}

func (v view) same(other view) bool {
	return v.size == other.size && v.modified.Equal(other.modified) && bytes.Equal(v.data, other.data)
}

// settled reports whether a file has not changed for so long that it is not
// being written: by its own time, or since it was seen first. A file that was
// emptied a moment ago is about to be written.
func (v view) settled(first view) bool {
	if v.seen.Sub(v.modified) > time.Second {
		return true
	}
	return len(v.data) > 0 && v.same(first) && v.seen.Sub(first.seen) >= quietTime
}

// look reads a file once.
func look(path string, lock func(*os.File) state) (view, error) {
	// A pipe in place of the file must not stop the plugin.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return view{}, err
	}
	defer f.Close()
	v := view{state: lock(f)}
	if v.state == beingWritten {
		return v, nil
	}
	before, err := f.Stat()
	if err != nil {
		return view{}, err
	}
	if !before.Mode().IsRegular() {
		return view{}, fmt.Errorf("%s is not a regular file", path)
	}
	if v.data, err = io.ReadAll(io.LimitReader(f, maxFileSize+1)); err != nil {
		return view{}, err
	}
	if len(v.data) > maxFileSize {
		return view{}, fmt.Errorf("%s is larger than %d bytes, so it is not a file with credentials", path, maxFileSize)
	}
	after, err := f.Stat()
	if err != nil {
		return view{}, err
	}
	v.size, v.modified, v.seen = after.Size(), after.ModTime(), time.Now()
	if v.state == unknown && (v.size != int64(len(v.data)) || !before.ModTime().Equal(v.modified)) {
		v.state = beingWritten
	}
	return v, nil
}
