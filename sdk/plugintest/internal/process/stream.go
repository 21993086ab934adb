package process

import (
	"bytes"
	"os"
	"sync"
)

// recordLimit bounds what is kept of each stream of a process.
const recordLimit = 8 << 20

// Stream is the reading end of a stdout or stderr. It keeps what passes
// through it.
type Stream struct {
	pipe  *os.File
	ended chan struct{}

	mu     sync.Mutex
	record bytes.Buffer
	end    sync.Once
}

func newStream(pipe *os.File) *Stream { return &Stream{pipe: pipe, ended: make(chan struct{})} }

func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.pipe.Read(p)
	s.mu.Lock()
	s.record.Write(p[:min(n, recordLimit-s.record.Len())])
	s.mu.Unlock()
	if err != nil {
		s.end.Do(func() {
			close(s.ended)
			s.pipe.Close()
		})
	}
	return n, err
}

func (s *Stream) Close() error { return s.pipe.Close() }

// Ended is closed when all has been read and no process can write any more.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// Bytes returns what has been read so far, up to a limit of 8 MiB.
func (s *Stream) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.record.Bytes())
}
