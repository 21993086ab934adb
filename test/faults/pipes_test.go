package faults

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/support/host"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

// startUnread starts a plugin whose pipes are not read.
func startUnread(t testing.TB, l host.Launch) *host.UnreadPlugin {
	t.Helper()
	d, err := host.StartUnread(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	return d
}

// A host that reads neither stdout nor stderr: every call completes, also those
// that write more than a pipe holds, and the plugin ends in time.
func TestPipesNotRead(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"log 5000", "print 1000"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			control := newController(t)
			d := startUnread(t, control.launch())
			for _, c := range everyCall(d.Plugin) {
				err := within(t, promptly, c.name, func() error {
					done := make(chan error, 1)
					go func() { done <- c.do(t.Context()) }()
					control.next().tell(t, "%s", command)
					return <-done
				})
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
			if _, err := d.Call(t.Context(), "plugin.GRPCController", "Shutdown", nil); err != nil {
				t.Error(err)
			}
			began := time.Now()
			if err := within(t, promptly, "the end", d.Wait); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("the plugin took %v to end", took)
			}
		})
	}
}

// When the host reads the log again it learns how much it has missed.
func TestLogReadAgain(t *testing.T) {
	t.Parallel()
	control := newController(t)
	d := startUnread(t, control.launch())
	apply := everyCall(d.Plugin)[0]
	do := func(command string) {
		err := within(t, promptly, command, func() error {
			done := make(chan error, 1)
			go func() { done <- apply.do(t.Context()) }()
			control.next().tell(t, "%s", command)
			return <-done
		})
		if err != nil {
			t.Error(err)
		}
	}
	do("log 5000")
	log := testlog.New()
	go func() { _, _ = io.Copy(log, d.Errors) }()
	eventually(t, "the note of lost lines", func() bool {
		do("log 1")
		return strings.Contains(log.String(), "log lines were dropped")
	})
}
