package hostlog

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// A pipe that nobody reads must not hold up what is logged, and what is logged
// once it is read again says what was lost.
func TestUnreadPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	l := slog.New(slog.NewJSONHandler(newLossyWriter(w, 10*time.Millisecond), nil))
	began := time.Now()
	for range 10_000 {
		l.Info(strings.Repeat("x", 100))
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("10,000 lines took %v", took)
	}

	lines := make(chan string)
	go func() {
		scanner := bufio.NewScanner(r)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	for note := ""; !strings.Contains(note, "log lines were dropped"); {
		l.Info("more")
		var fields map[string]any
		if text := <-lines; json.Unmarshal([]byte(text), &fields) != nil {
			t.Fatalf("no JSON: %q", text)
		}
		note, _ = fields["@message"].(string)
	}
}

func TestErrorOfThePipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	if _, err := newLossyWriter(w, time.Minute).Write([]byte("x\n")); err == nil {
		t.Error("no error of a pipe without a reader")
	}
}
