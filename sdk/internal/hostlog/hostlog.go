// Package hostlog writes log lines in the form that a Velero server takes from
// a plugin's stderr: one JSON object per line.
//
// The host asserts the types of some keys without checking them and dies when
// they differ, so every line is made safe here: reserved keys hold strings, and
// no line is longer than the host's line buffer.
package hostlog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// LevelTrace is the level below debug that Velero knows.
const LevelTrace = slog.Level(-8)

const (
	// maxLine is the length above which a host cuts a line into fragments.
	maxLine = 64 << 10
	// maxText bounds one string of a line.
	maxText = 8 << 10
	// maxAlerts bounds the warnings and errors of one process. The host keeps
	// each of them in memory while a backup runs.
	maxAlerts = 1000
)

// Level returns the level of that name as the Velero server spells it, or info
// for a name that it does not know.
func Level(name string) slog.Level {
	switch strings.ToLower(name) {
	case "trace":
		return LevelTrace
	case "debug":
		return slog.LevelDebug
	case "warning", "warn":
		return slog.LevelWarn
	case "error", "fatal", "panic":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// New returns a handler that writes to w, which must be the stderr that the
// host reads. When the host has stopped reading it, lines are dropped: no call
// waits for the host for longer than a moment.
func New(w io.Writer, level slog.Level) slog.Handler {
	lines := slog.NewJSONHandler(lineWriter{newLossyWriter(w, patience)}, &slog.HandlerOptions{
		AddSource:   true,
		Level:       level,
		ReplaceAttr: replace,
	})
	return handler{
		Handler: lines.WithAttrs([]slog.Attr{slog.String("@logSourceSetBy", "plugin")}),
		alerts:  new(atomic.Int64),
	}
}

type handler struct {
	slog.Handler
	alerts  *atomic.Int64 // warnings and errors written
	grouped bool          // attributes go into a group
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		switch n := h.alerts.Add(1); {
		case n == maxAlerts:
			r.AddAttrs(slog.String("suppressed", "further warnings and errors of this process are logged at debug level"))
		case n > maxAlerts:
			r.Level = slog.LevelDebug
			if !h.Enabled(ctx, r.Level) {
				return nil
			}
		}
	}
	return h.Handler.Handle(ctx, h.safeRecord(r))
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(h.safe(slices.Clone(attrs)))
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	if !h.grouped {
		name = groupKey(name)
	}
	h.Handler, h.grouped = h.Handler.WithGroup(name), true
	return h
}

// safeRecord returns r without attributes that would take the place of what the
// host reads. Few records have any.
func (h handler) safeRecord(r slog.Record) slog.Record {
	clash := false
	r.Attrs(func(a slog.Attr) bool {
		clash = !h.grouped && unsafe(a)
		return !clash
	})
	if !clash {
		return r
	}
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	out.AddAttrs(h.safe(attrs)...)
	return out
}

// unsafe reports whether safe would change a.
func unsafe(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindGroup, slog.KindLogValuer:
		return true
	}
	return a.Key == slog.MessageKey
}

// safe renames attributes, in place. An attribute must not take the place of the
// message, which goes through replace under the same key, and a group must not
// have a reserved key, as replace does not see the keys of groups.
func (h handler) safe(attrs []slog.Attr) []slog.Attr {
	if h.grouped {
		return attrs
	}
	for i, a := range attrs {
		a.Value = a.Value.Resolve()
		switch {
		case a.Value.Kind() == slog.KindGroup && a.Key == "":
			a.Value = slog.GroupValue(h.safe(slices.Clone(a.Value.Group()))...)
		case a.Value.Kind() == slog.KindGroup:
			a.Key = groupKey(a.Key)
		case a.Key == slog.MessageKey:
			a.Key = "message"
		}
		attrs[i] = a
	}
	return attrs
}

// groupKey returns the name under which a group is written: the host wants
// strings under reserved keys.
func groupKey(name string) string {
	if reserved(name) {
		return "_" + strings.TrimLeft(name, "@")
	}
	return name
}

// reserved reports whether the host reads the key itself.
func reserved(key string) bool {
	switch key {
	case "name", "namespace", "resource", slog.MessageKey:
		return true
	}
	return strings.HasPrefix(key, "@")
}

// replace gives the keys that slog writes the names that the host reads, and
// keeps the callers' own keys from colliding with them.
func replace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return bounded(a)
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.Attr{} // the host stamps its own
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String("@level", levelName(level))
		}
	case slog.MessageKey:
		return bounded(slog.String("@message", a.Value.String()))
	case slog.SourceKey:
		if source, ok := a.Value.Any().(*slog.Source); ok {
			if source == nil || source.File == "" {
				return slog.Attr{}
			}
			return slog.String("logSource", source.File+":"+strconv.Itoa(source.Line))
		}
	case "@logSourceSetBy":
		return slog.String(a.Key, "plugin")
	case "name", "namespace", "resource":
		return bounded(slog.String(a.Key, fmt.Sprint(a.Value.Resolve().Any())))
	}
	if strings.HasPrefix(a.Key, "@") {
		a.Key = "_" + strings.TrimLeft(a.Key, "@")
	}
	return bounded(a)
}

func bounded(a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(cut(v))
	case error:
		a.Value = slog.StringValue(cut(fmt.Sprint(v))) // unlike Error, it bears a nil pointer
	case []byte:
		a.Value = slog.StringValue(cut(string(v)))
	}
	return a
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "... (cut)"
}

func levelName(level slog.Level) string {
	switch {
	case level < slog.LevelDebug:
		return "trace"
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warn"
	}
	return "error"
}

// lineWriter replaces a line that the host would cut by a short one that says
// so.
type lineWriter struct{ w io.Writer }

func (l lineWriter) Write(line []byte) (int, error) {
	if len(line) < maxLine {
		return l.w.Write(line)
	}
	level := "error"
	if _, rest, ok := bytes.Cut(line, []byte(`"@level":"`)); ok {
		if name, _, ok := bytes.Cut(rest, []byte(`"`)); ok {
			level = string(name)
		}
	}
	begin := bytes.ToValidUTF8(line[:200], nil)
	return len(line), writeLine(l.w, level, fmt.Sprintf("a log line of %d bytes was left out, it begins: %s", len(line), begin))
}

// writeLine writes a line of its own. Level and message are text.
func writeLine(w io.Writer, level, message string) error {
	line, err := json.Marshal(map[string]string{"@level": level, "@message": message})
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	return err
}
