package hostlog

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// patience is how long a line waits for the host to read the ones before it.
const patience = 2 * time.Second

// lossyWriter writes lines to a pipe that its reader may have left full. A line
// that cannot be written for the time of its patience is left behind, and the
// lines after it are dropped until the pipe takes it. Writes are not concurrent.
type lossyWriter struct {
	w        io.Writer
	patience time.Duration

	writing chan struct{} // full while a write is under way
	lost    int
}

func newLossyWriter(w io.Writer, patience time.Duration) *lossyWriter {
	return &lossyWriter{w: w, patience: patience, writing: make(chan struct{}, 1)}
}

// Write writes one line, or drops it. The error is that of the writer, if it
// came in time.
func (l *lossyWriter) Write(line []byte) (int, error) {
	select {
	case l.writing <- struct{}{}:
	default:
		l.lost++
		return len(line), nil
	}
	out := bytes.Clone(line) // the caller uses line again
	if l.lost > 0 {
		var note bytes.Buffer
		if err := writeLine(&note, "warn", fmt.Sprintf("%d log lines were dropped, since nobody read the log", l.lost)); err == nil {
			out = append(note.Bytes(), out...)
		}
		l.lost = 0
	}
	done := make(chan error, 1)
	go func() {
		_, err := l.w.Write(out)
		<-l.writing
		done <- err
	}()
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return len(line), err
	case <-timer.C:
		return len(line), nil
	}
}
