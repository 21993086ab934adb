package hostlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// Groups under the keys that the host reads would be objects there.
func TestGroupsUnderReservedKeys(t *testing.T) {
	for _, key := range []string{"name", "namespace", "resource", "@message", "@level", "@timestamp", "msg", ""} {
		for what, log := range map[string]func(*slog.Logger){
			"attribute": func(l *slog.Logger) { l.Info("m", slog.Group(key, "name", 1, "msg", 2)) },
			"valuer":    func(l *slog.Logger) { l.Info("m", key, groupValuer{}) },
			"with":      func(l *slog.Logger) { l.With(slog.Group(key, "name", 1)).Info("m") },
			"open":      func(l *slog.Logger) { l.WithGroup(key).Info("m", "name", 1) },
			"twice":     func(l *slog.Logger) { l.WithGroup("g").WithGroup(key).Info("m", slog.Group(key, "a", 1)) },
		} {
			checkHostLine(t, what+" "+key, line(t, slog.LevelInfo, log))
		}
	}
}

type groupValuer struct{}

func (groupValuer) LogValue() slog.Value { return slog.GroupValue(slog.Int("a", 1)) }

// checkHostLine checks the types that the host asserts.
func checkHostLine(t *testing.T, what string, fields map[string]any) {
	t.Helper()
	for _, key := range []string{"@message", "@level", "@timestamp", "name", "namespace", "resource"} {
		if value, there := fields[key]; there {
			if _, ok := value.(string); !ok {
				t.Errorf("%s: %s is a %T", what, key, value)
			}
		}
	}
	if fields["@message"] == nil || fields["@level"] == nil {
		t.Errorf("%s: no message or level in %v", what, fields)
	}
}

type faultyError struct{}

func (*faultyError) Error() string { panic("a faulty error") }

func TestErrorsThatPanic(t *testing.T) {
	var none *faultyError
	for _, err := range []error{none, &faultyError{}} {
		checkHostLine(t, fmt.Sprintf("%T", err), line(t, slog.LevelInfo, func(l *slog.Logger) { l.Info("m", "error", err) }))
	}
}

// FuzzLine logs any text at any place. Whatever comes, the host must survive it.
func FuzzLine(f *testing.F) {
	f.Add("m", "name", "v", uint8(0))
	f.Add("m\n\x00\xff", "@message", "", uint8(1))
	f.Add("", "", "\\u00", uint8(2))
	f.Add(strings.Repeat("\x01\"\\", 5000), "k", strings.Repeat("\U0001f600", 5000), uint8(7))
	f.Fuzz(func(t *testing.T, message, key, value string, shape uint8) {
		attrs := []slog.Attr{
			slog.String(key, value), slog.Any(key, errors.New(value)), slog.Int(key, 1), slog.Any(key, []byte(value)),
			slog.Group(key, slog.String(value, key)), slog.Any(key, groupValuer{}), slog.Any(key, map[string]string{key: value}),
		}
		for range shape / 32 { // up to some lines that are too long
			attrs = append(attrs, slog.String(key, strings.Repeat(value, 20)))
		}
		var out bytes.Buffer
		l := slog.New(New(&out, LevelTrace))
		if shape&1 != 0 {
			l = l.With("a", 1)
		}
		if shape&2 != 0 {
			l = slog.New(l.Handler().WithAttrs(attrs[:2]))
		}
		if shape&4 != 0 {
			l = l.WithGroup(key)
		}
		l.LogAttrs(t.Context(), slog.Level(int(shape%24)-8), message, attrs...)
		text, ended := strings.CutSuffix(out.String(), "\n")
		if !ended || strings.Contains(text, "\n") || len(text) >= maxLine {
			t.Fatalf("%d bytes are no line: %.200q", len(text), text)
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			t.Fatalf("%v: %.300q", err, text)
		}
		checkHostLine(t, "line", fields)
	})
}

func BenchmarkDisabledLevel(b *testing.B) {
	l := slog.New(New(io.Discard, slog.LevelInfo))
	b.ReportAllocs()
	for b.Loop() {
		l.Debug("nothing", "key", "value")
	}
}
