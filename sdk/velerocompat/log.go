package velerocompat

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/sirupsen/logrus"
)

// newLogger returns a logger whose entries go to handler, each with its level,
// its fields and its place in the source.
func newLogger(handler slog.Handler) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetFormatter(forwarder{handler})
	log.SetReportCaller(true)
	log.SetLevel(enabled(handler))
	return log
}

// enabled returns the least level that handler takes, so that nothing is made
// of entries below it.
func enabled(handler slog.Handler) logrus.Level {
	for _, level := range []logrus.Level{logrus.TraceLevel, logrus.DebugLevel, logrus.InfoLevel, logrus.WarnLevel} {
		if handler.Enabled(context.Background(), slogLevel(level)) {
			return level
		}
	}
	return logrus.ErrorLevel
}

func slogLevel(level logrus.Level) slog.Level {
	switch level {
	case logrus.TraceLevel:
		return slog.LevelDebug - 4 // as the SDK's handler has it
	case logrus.DebugLevel:
		return slog.LevelDebug
	case logrus.InfoLevel:
		return slog.LevelInfo
	case logrus.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// forwarder hands entries on in place of formatting them. As a formatter it
// comes after all hooks.
type forwarder struct{ handler slog.Handler }

func (f forwarder) Format(entry *logrus.Entry) ([]byte, error) {
	var pc uintptr
	if entry.Caller != nil {
		pc = entry.Caller.PC + 1 // slog expects the address that the call returns to
	}
	record := slog.NewRecord(entry.Time, slogLevel(entry.Level), entry.Message, pc)
	for _, key := range slices.Sorted(maps.Keys(entry.Data)) {
		record.AddAttrs(slog.Any(key, entry.Data[key]))
	}
	ctx := entry.Context
	if ctx == nil {
		ctx = context.Background()
	}
	return nil, f.handler.Handle(ctx, record)
}
