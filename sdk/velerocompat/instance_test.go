package velerocompat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
)

func TestInitializerIsCalledUntilItSucceeds(t *testing.T) {
	var made []any
	next := errors.New("not yet")
	i := newInstance[io.Reader](func(logrus.FieldLogger) (any, error) {
		made = append(made, strings.NewReader(""))
		return made[len(made)-1], next
	}, slog.New(slog.DiscardHandler))
	if _, err := i.get(); !errors.Is(err, next) {
		t.Errorf("the error of the initializer is %v", err)
	}
	next = nil
	for range 2 {
		if got, err := i.get(); err != nil || got != made[1] {
			t.Errorf("got %v, %v", got, err)
		}
	}
	if len(made) != 2 {
		t.Errorf("the initializer was called %d times", len(made))
	}
}

func TestInitializerOfAnotherType(t *testing.T) {
	for want, made := range map[string]any{"a *strings.Builder, which is no io.Reader": &strings.Builder{}, "a <nil>, which": nil} {
		i := newInstance[io.Reader](func(logrus.FieldLogger) (any, error) { return made, nil }, slog.New(slog.DiscardHandler))
		if _, err := i.get(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%T: %v", made, err)
		}
	}
}

func TestLogLevels(t *testing.T) {
	all := []logrus.Level{logrus.ErrorLevel, logrus.WarnLevel, logrus.InfoLevel, logrus.DebugLevel, logrus.TraceLevel}
	for n, least := range all {
		var out bytes.Buffer
		log := newLogger(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slogLevel(least), AddSource: true}))
		for _, level := range all {
			log.WithField("n", 1).WithContext(context.Background()).Log(level, "message")
		}
		want := []string{"ERROR", "WARN", "INFO", "DEBUG", "DEBUG-4"}[:n+1]
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != len(want) {
			t.Fatalf("at level %s: %q", least, lines)
		}
		for i, line := range lines {
			if !strings.Contains(line, "level="+want[i]+" source=") || !strings.Contains(line, "instance_test.go:") || !strings.HasSuffix(line, "msg=message n=1") {
				t.Errorf("%s in place of level %s", line, want[i])
			}
		}
	}
}

func TestFlagsOfVelero(t *testing.T) {
	flags := pflag.NewFlagSet("plugin", pflag.ExitOnError)
	own := flags.Int("workers", 1, "")
	s := NewServer().BindFlags(flags)
	s.parse([]string{"--features=EnableCSI", "--uploader-type", "kopia", "--workers=3", "--log-level", "debug"})
	if *own != 3 {
		t.Errorf("%d workers", *own)
	}
	flags = pflag.NewFlagSet("plugin", pflag.ExitOnError)
	flags.Int("workers", 1, "")
	NewServer().BindFlags(flags).parse([]string{"--workers=many"}) // ends the process if it is taken for a mistake
}
