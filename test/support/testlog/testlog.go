// Package testlog keeps what is logged in a test, so that the test can look for it.
//
//	log := testlog.New()
//	store := s3.New(log.Logger())
//	...
//	if !strings.Contains(log.String(), "is not verified") {
package testlog

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
)

// Log keeps log lines, from debug on. The zero value is ready for use, and safe for
// concurrent use.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// New returns an empty log.
func New() *Log { return &Log{} }

// Default returns a log of what is logged with the default logger until the test
// ends.
func Default(t testing.TB) *Log {
	t.Helper()
	l, before := New(), slog.Default()
	slog.SetDefault(l.Logger())
	t.Cleanup(func() { slog.SetDefault(before) })
	return l
}

// Logger returns a logger whose lines the log keeps.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write implements io.Writer, for what writes log lines by itself.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns the lines so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
