package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// endRows are about the events at which a plugin's process ends, and those at which
// it goes on.
func endRows() []Row {
	return []Row{{
		ID: "end.shutdown", Level: Must, Name: "shutdown when idle",
		Contract:    "asked to shut down, the plugin ends with exit code 0 within two seconds and leaves no socket, file or child",
		Consequence: "each task of Velero takes two seconds more and leaves sockets, files or processes in its pod",
		run:         shutdownIdle,
	}, {
		ID: "end.shutdown-busy", Level: Must, Name: "shutdown when busy",
		Contract:    "asked to shut down while an upload is open and a download is not read, the plugin ends as it does when idle, and the upload leaves nothing behind",
		Consequence: "an aborted backup leaves half an object that looks complete, or a process",
		needs:       []need{store},
		run:         shutdownBusy,
	}, {
		ID: "end.sigterm", Level: Should, Name: "SIGTERM and SIGHUP",
		Contract:    "on SIGTERM and SIGHUP the plugin cleans up and ends with exit code 0",
		Consequence: "each restart of the pod leaves sockets behind or logs errors",
		run:         terminated,
	}, {
		ID: "end.sigint", Level: Must, Name: "SIGINT",
		Contract:    "SIGINT, which a terminal sends to plugins too, does not end the plugin",
		Consequence: "a plugin that shares a terminal with Velero dies in the middle of a backup",
		waits:       true,
		run:         interrupted,
	}, {
		ID: "end.host-killed", Level: Should, Name: "host killed",
		Contract:    "when the host dies without a word the plugin ends within seconds and leaves no socket",
		Consequence: "each crash of the Velero server leaves a process that keeps its memory until the pod ends",
		waits:       true,
		run:         hostKilled,
	}, {
		ID: "end.connection-lost", Level: Should, Name: "connection dropped",
		Contract:    "when the host drops its only connection the plugin ends within seconds and leaves no socket",
		Consequence: "processes that nobody uses keep their memory until the pod ends",
		waits:       true,
		run:         connectionLost,
	}, {
		ID: "end.no-client", Level: Should, Name: "nobody connects",
		Contract:    "a plugin that nobody connects to within a minute ends and leaves no socket",
		Consequence: "a start that failed half-way leaves a process until the pod ends",
		waits:       true, timeout: 3 * time.Minute,
		run: nobodyConnects,
	}, {
		ID: "end.cycles", Level: Must, Name: "200 starts and stops",
		Contract:    "200 starts and stops leave no process, socket, file or open descriptor behind, and no error line",
		Consequence: "the pod runs out of processes, memory or disk after days, as plugins are started every minute, or its log fills with errors",
		timeout:     5 * time.Minute,
		run:         cycles,
	}, {
		ID: "end.crash", Level: Must, Name: "restart after a crash",
		Contract:    "after a crash a new process serves the same configuration",
		Consequence: "one crash of the plugin makes the whole backup fail",
		needs:       []need{store},
		run:         crash,
	}}
}

// cleanEnd returns an error when the plugin of the session has left something.
func (s *session) cleanEnd(socket string) error {
	var errs []error
	if socket != "" {
		if _, err := os.Lstat(socket); err == nil {
			errs = append(errs, fmt.Errorf("the socket %s is left", socket))
			os.Remove(socket)
		}
	}
	return errors.Join(append(errs, s.gone(), s.leftInTemp(func(fs.FileMode) bool { return true }))...)
}

func shutdownIdle(ctx context.Context, s *session) error {
	b, err := s.startBare(ctx, s.launch())
	if err != nil {
		return err
	}
	if _, err := shutDown(ctx, b); err != nil {
		return err
	}
	return errors.Join(onlyHandshake(ctx, b), s.cleanEnd(b.Handshake.SocketFile()))
}

func shutdownBusy(ctx context.Context, s *session) error {
	b, err := s.startBare(ctx, s.launch())
	if err != nil {
		return err
	}
	conn, err := b.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	st := wire.Store{Conn: conn, Name: s.storeName(), Bucket: s.plugin.Store.Bucket}
	if err := s.initStore(ctx, st); err != nil {
		return err
	}
	big := newPattern("big", 64<<20)
	if err := st.Put(ctx, s.key("big"), big.reader()); err != nil {
		return err
	}
	down, err := st.Get(ctx, s.key("big"))
	if err == nil {
		_, err = io.ReadFull(down, make([]byte, 1024))
	}
	if err != nil {
		return err
	}
	up, err := st.Upload(ctx, s.key("unfinished"))
	if err == nil {
		err = up.SendAll(newPattern("unfinished", 24<<20).reader())
	}
	if err != nil {
		return err
	}
	if _, err := endAsHost(ctx, b.Process, conn); err != nil {
		return err
	}
	return errors.Join(s.cleanEnd(b.Handshake.SocketFile()), s.absentAfterwards(ctx, "unfinished"))
}

// absentAfterwards asks a new process for a key that must not be there.
func (s *session) absentAfterwards(ctx context.Context, name string) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	return absent(ctx, st, s.key(name))
}

func terminated(ctx context.Context, s *session) error {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		b, err := s.startBare(ctx, s.launch())
		if err != nil {
			return err
		}
		if err := answers(ctx, b); err != nil {
			return err
		}
		asked := time.Now()
		if err := b.Signal(sig); err != nil {
			return err
		}
		if _, err := ended(ctx, b.Process, asked); err != nil {
			return fmt.Errorf("after %s: %w", sig, err)
		}
		if err := s.cleanEnd(b.Handshake.SocketFile()); err != nil {
			return fmt.Errorf("after %s: %w", sig, err)
		}
	}
	return nil
}

func interrupted(ctx context.Context, s *session) error {
	b, err := s.startBare(ctx, s.launch())
	if err != nil {
		return err
	}
	conn, err := b.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	// A plugin that no host has connected to may still be starting.
	if _, err := wire.List(ctx, conn); err != nil {
		return fmt.Errorf("ListPlugins: %w", err)
	}
	for range 3 {
		if err := b.Signal(os.Interrupt); err != nil {
			return err
		}
		if _, err := wire.List(ctx, conn); err != nil {
			return fmt.Errorf("ListPlugins after SIGINT: %w", err)
		}
	}
	// A plugin may handle the signal after it has answered.
	select {
	case <-b.Done():
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(interruptTime):
	}
	if _, err := wire.List(ctx, conn); err != nil {
		return fmt.Errorf("ListPlugins after SIGINT: %w", err)
	}
	return nil
}

// interruptTime is how long a plugin must go on after SIGINT. One that ends at the
// signal has ended by then, also on a busy machine.
const interruptTime = 2 * time.Second

func hostKilled(ctx context.Context, s *session) error {
	d, err := host.StartHostProcess(ctx, s.launch(), nil)
	if err != nil {
		return err
	}
	defer d.Plugin.Close()
	d.Kill()
	return s.orphanEnds(d.Plugin)
}

// orphanEnds waits until a plugin whose host is gone has ended.
func (s *session) orphanEnds(orphan process.Handle) error {
	ended, err := orphan.Ended(soon)
	if err != nil {
		return err
	}
	if !ended {
		return errors.Join(fmt.Errorf("the plugin still runs %s later", soon), orphan.Kill())
	}
	return s.cleanEnd("")
}

func connectionLost(ctx context.Context, s *session) error {
	b, err := s.startBare(ctx, s.launch())
	if err != nil {
		return err
	}
	if err := answers(ctx, b); err != nil {
		return err
	}
	return s.endsAlone(ctx, b, soon)
}

func nobodyConnects(ctx context.Context, s *session) error {
	b, err := s.startBare(ctx, s.launch())
	if err != nil {
		return err
	}
	return s.endsAlone(ctx, b, time.Minute+soon)
}

// endsAlone waits until a plugin that nobody is connected to has ended.
func (s *session) endsAlone(ctx context.Context, b *host.Bare, within time.Duration) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	exit, err := b.Wait(ctx)
	if err != nil {
		return fmt.Errorf("%s after the last connection: %w", within, err)
	}
	s.figure("time to its end", exit.At.Sub(began).Seconds(), "s")
	if exit.Code != 0 {
		return fmt.Errorf("%s instead of exit code 0", exit)
	}
	return s.cleanEnd(b.Handshake.SocketFile())
}

func cycles(ctx context.Context, s *session) error {
	const count = 200
	before, err := process.OpenFiles(0)
	if err != nil {
		return err
	}
	began := time.Now()
	for i := range count {
		if err := s.cycle(ctx); err != nil {
			return fmt.Errorf("cycle %d: %w", i+1, err)
		}
	}
	s.figure("start and stop", float64(time.Since(began).Microseconds())/count/1000, "ms")
	// Other rows run at the same time and have a few descriptors open.
	return errors.Join(s.cleanEnd(""), eventually(ctx, soon, func() error {
		after, err := process.OpenFiles(0)
		if err == nil && after > before+count/10 {
			err = fmt.Errorf("the host has %d open descriptors, it had %d", after, before)
		}
		return err
	}))
}

func (s *session) cycle(ctx context.Context) error {
	p, err := host.Start(s.launch())
	if err != nil {
		return err
	}
	_, err = wire.List(ctx, p.Conn)
	p.Stop()
	exit, waitErr := p.Wait(ctx)
	if err = errors.Join(err, waitErr); err != nil {
		return err
	}
	if exit.Code != 0 {
		return fmt.Errorf("%s instead of exit code 0", exit)
	}
	if lines := append(p.ClientErrors(), errorLines(p.Stderr().Bytes())...); len(lines) > 0 {
		return fmt.Errorf("error lines: %s", strings.Join(lines, "\n"))
	}
	return nil
}

func crash(ctx context.Context, s *session) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	st := s.store(p)
	if err := s.initStore(ctx, st); err != nil {
		return err
	}
	body := newPattern("kept", 1<<20)
	if err := st.Put(ctx, s.key("kept"), body.reader()); err != nil {
		return err
	}
	p.Kill()
	st, err = s.openStore(ctx)
	if err != nil {
		return err
	}
	return same(ctx, st, s.key("kept"), body)
}
