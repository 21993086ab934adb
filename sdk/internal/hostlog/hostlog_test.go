package hostlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// line returns the one line that log wrote, decoded.
func line(t *testing.T, level slog.Level, log func(*slog.Logger)) map[string]any {
	t.Helper()
	var out bytes.Buffer
	log(slog.New(New(&out, level)))
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 {
		t.Fatalf("%d lines: %s", n, out.Bytes())
	}
	if out.Len() > maxLine {
		t.Fatalf("a line of %d bytes", out.Len())
	}
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	return fields
}

func TestLine(t *testing.T) {
	got := line(t, slog.LevelInfo, func(l *slog.Logger) {
		l.Warn("careful", "error", errors.New("boom"), "count", 3)
	})
	for key, want := range map[string]any{
		"@message": "careful", "@level": "warn", "@logSourceSetBy": "plugin", "error": "boom", "count": 3.0,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if source, _ := got["logSource"].(string); !strings.Contains(source, "hostlog_test.go:") {
		t.Errorf("logSource is %v", got["logSource"])
	}
	for _, key := range []string{"time", "@timestamp", "level", "msg", "source"} {
		if _, there := got[key]; there {
			t.Errorf("%s is written", key)
		}
	}
}

// The host asserts that these keys hold strings and dies when they do not.
func TestReservedKeysAreStrings(t *testing.T) {
	got := line(t, slog.LevelInfo, func(l *slog.Logger) {
		l.With("name", 7, "@level", 1, "@timestamp", 1).Info("m",
			"namespace", []string{"a"}, "resource", nil, "@message", 2, "msg", 3, "source", 4, "level", true, "time", time.Second)
	})
	for _, key := range []string{"@message", "@level", "name", "namespace", "resource"} {
		if _, ok := got[key].(string); !ok {
			t.Errorf("%s is a %T", key, got[key])
		}
	}
	if got["@level"] != "info" || got["@message"] != "m" || got["message"] != 3.0 {
		t.Errorf("level %v, message %v", got["@level"], got["@message"])
	}
	for key := range got {
		if strings.HasPrefix(key, "@") && key != "@level" && key != "@message" && key != "@logSourceSetBy" {
			t.Errorf("%s is written", key)
		}
	}
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("ä", maxLine)
	got := line(t, slog.LevelInfo, func(l *slog.Logger) { l.Error(long, "error", errors.New(long)) })
	if message := got["@message"].(string); !strings.HasPrefix(message, "ää") {
		t.Errorf("the message is %.20q", message)
	}
	var many []any
	for range 20 {
		many = append(many, "k"+strings.Repeat("x", len(many)), long)
	}
	got = line(t, slog.LevelInfo, func(l *slog.Logger) { l.Error("m", many...) })
	if got["@level"] != "error" {
		t.Errorf("a line that was left out has level %v", got["@level"])
	}
}

func TestLevels(t *testing.T) {
	for name, want := range map[string]slog.Level{
		"trace": LevelTrace, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warning": slog.LevelWarn,
		"error": slog.LevelError, "fatal": slog.LevelError, "panic": slog.LevelError, "": slog.LevelInfo, "loud": slog.LevelInfo,
	} {
		if got := Level(name); got != want {
			t.Errorf("%q is %v, want %v", name, got, want)
		}
	}
	for level, want := range map[slog.Level]string{
		LevelTrace: "trace", slog.LevelDebug: "debug", slog.LevelInfo: "info", slog.LevelWarn: "warn", slog.LevelError: "error",
	} {
		got := line(t, LevelTrace, func(l *slog.Logger) { l.Log(t.Context(), level, "m") })
		if got["@level"] != want {
			t.Errorf("%v is written as %v", level, got["@level"])
		}
	}
}

// The host keeps warnings and errors in memory while a backup runs.
func TestFloodOfErrors(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(New(&out, slog.LevelInfo))
	for range maxAlerts * 2 {
		l.With("a", 1).Error("again")
	}
	if n := strings.Count(out.String(), `"@level":"error"`); n != maxAlerts {
		t.Errorf("%d errors were written, want %d", n, maxAlerts)
	}
	if !strings.Contains(out.String(), "suppressed") {
		t.Error("nothing says that errors are suppressed")
	}
}

func BenchmarkDisabledLevel(b *testing.B) {
	l := slog.New(New(io.Discard, slog.LevelInfo))
	b.ReportAllocs()
	for b.Loop() {
		l.Debug("nothing", "key", "value")
	}
}
