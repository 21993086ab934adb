package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// faultRows are about uploads and downloads that break off.
func faultRows() []Row {
	return []Row{{
		ID: "fault.put-interrupted", Level: Must, Name: "interrupted put",
		Contract:    "an upload that its caller breaks off leaves no new object, no changed old object and no file",
		Consequence: "a cancelled upload leaves an object that looks complete and cannot be restored",
		needs:       []need{store},
		run:         putInterrupted,
	}, {
		ID: "fault.put-host-killed", Level: Must, Name: "host killed during a put",
		Contract:    "an upload whose host is killed leaves no new object, no changed old object, no file and no process",
		Consequence: "a crash of the Velero server leaves a backup that looks complete and cannot be restored",
		needs:       []need{store},
		run:         putHostKilled,
	}, {
		ID: "fault.put-refused", Level: Should, Name: "put refused by the backend",
		Contract:    "when the backend refuses an upload of 64 MiB the plugin reads it to its end, so that the host learns the reason and not only EOF",
		Consequence: "the status of a failed backup says EOF instead of what is wrong with the store",
		needs:       []need{store}, timeout: 10 * time.Minute,
		run: putRefused,
	}, {
		ID: "fault.get-abandoned", Level: Should, Name: "abandoned get",
		Contract:    "a download that the host has stopped to read does not keep the plugin from ending within two seconds",
		Consequence: "each download that a user breaks off delays the task by two seconds and ends in a killed process",
		needs:       []need{store},
		run:         getAbandoned,
	}, {
		ID: "fault.get-stalled", Level: Should, Name: "stalled get",
		Contract:    "a download that the host has stopped to read is given up when the plugin's limit is over",
		Consequence: "downloads that are not read hold memory and connections for as long as the process lives",
		needs:       []need{store, stallLimited}, timeout: 30 * time.Minute,
		run: getStalled,
	}, {
		ID: "fault.get-closed", Level: Must, Name: "closed get",
		Contract:    "a download that is closed in its middle frees what it held",
		Consequence: "a restore that looks into many objects runs out of connections or file descriptors",
		needs:       []need{store},
		run:         getClosed,
	}, {
		ID: "fault.get-backend", Level: Must, Name: "backend breaks during a get",
		Contract:    "a download that cannot be completed ends with an error, never as if it were complete",
		Consequence: "a restore takes a part of the backup for the whole, and objects are missing without an error",
		needs:       []need{store, breakable}, timeout: 10 * time.Minute,
		run: getBackendBreaks,
	}, {
		ID: "fault.backend", Level: Must, Name: "broken backend",
		Contract:    "while the backend is broken every method returns an error with a reason, an error is never reported as absence or an empty list, and all is well when the backend is",
		Consequence: "while the store is down Velero deletes its knowledge of backups, or overwrites one, or reports an empty reason",
		needs:       []need{store, breakable}, timeout: 10 * time.Minute,
		run: brokenBackend,
	}}
}

func putInterrupted(ctx context.Context, s *session) error {
	for _, size := range []int64{100_000, 24 << 20} {
		if err := s.interruptPuts(ctx, size); err != nil {
			return fmt.Errorf("after %d bytes: %w", size, err)
		}
	}
	return nil
}

func (s *session) interruptPuts(ctx context.Context, size int64) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	st := s.store(p)
	if err := s.initStore(ctx, st); err != nil {
		return err
	}
	fresh, replaced := s.key(fmt.Sprint("fresh-", size)), s.key(fmt.Sprint("replaced-", size))
	old, err := put(ctx, st, replaced, 1000)
	if err != nil {
		return err
	}
	for _, key := range []string{fresh, replaced} {
		if err := breakOff(ctx, st, key, size); err != nil {
			return err
		}
	}
	// The plugin may still be cleaning up after the broken calls while it answers this one.
	if _, err := put(ctx, st, s.key("other"), size); err != nil {
		return err
	}
	if err := s.settled(ctx, st, fresh, replaced, old); err != nil {
		return err
	}
	p.Stop()
	st, err = s.openStore(ctx)
	if err != nil {
		return err
	}
	return s.settled(ctx, st, fresh, replaced, old)
}

// breakOff sends a part of a body and then cancels the call.
func breakOff(ctx context.Context, st wire.Store, key string, size int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	up, err := st.Upload(ctx, key)
	if err == nil {
		err = up.SendAll(newPattern("broken off", size).reader())
	}
	return err
}

// settled returns an error if interrupted uploads have left an object, or changed the
// one that they were to replace.
func (s *session) settled(ctx context.Context, st wire.Store, fresh, replaced string, old pattern) error {
	return errors.Join(absent(ctx, st, fresh), same(ctx, st, replaced, old), eventually(ctx, soon, s.residue))
}

func putHostKilled(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	old, err := put(ctx, st, s.key("replaced"), 1000)
	if err != nil {
		return err
	}
	names := []string{"fresh", "replaced"}
	if err := inParallel(len(names), func(i int) error { return s.killDuringPut(ctx, names[i]) }); err != nil {
		return err
	}
	return s.settled(ctx, st, s.key("fresh"), s.key("replaced"), old)
}

func (s *session) killDuringPut(ctx context.Context, name string) error {
	d, err := host.StartHostProcess(ctx, s.launch(), &host.Put{
		Store: s.storeName(), Config: s.storeConfig(s.plugin.Store.Config),
		Bucket: s.plugin.Store.Bucket, Key: s.key(name), Bytes: 24 << 20,
	})
	if err != nil {
		return err
	}
	defer d.Plugin.Close()
	d.Kill()
	ended, err := d.Plugin.Ended(soon)
	if err == nil && !ended {
		// The row end.host-killed checks whether the plugin ends. Here it is killed if it does not.
		err = d.Plugin.Kill()
	}
	return err
}

func putRefused(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	if err := s.refused(ctx, st.In(noSuchBucket)); err != nil {
		return fmt.Errorf("in an absent bucket: %w", err)
	}
	if s.plugin.BreakBackend == nil {
		return nil
	}
	defer s.plugin.BreakBackend()()
	if err := s.refused(ctx, st); err != nil {
		return fmt.Errorf("with a broken backend: %w", err)
	}
	return nil
}

func (s *session) refused(ctx context.Context, st wire.Store) error {
	err := st.Put(ctx, s.key("refused"), newPattern("refused", 64<<20).reader())
	text := status.Convert(err).Message()
	switch {
	case err == nil:
		return errors.New("the upload succeeds")
	case errors.Is(err, io.EOF) || strings.TrimSpace(text) == "EOF" || strings.TrimSpace(text) == "":
		return fmt.Errorf("the host learns no more than %q", text)
	}
	return nil
}

func getAbandoned(ctx context.Context, s *session) error {
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
	if _, err := put(ctx, st, s.key("big"), 128<<20); err != nil {
		return err
	}
	for range 4 {
		down, err := st.Get(ctx, s.key("big"))
		if err == nil {
			_, err = io.ReadFull(down, make([]byte, 1024))
		}
		if err != nil {
			return err
		}
	}
	if err := s.memory(b.Process); err != nil {
		return err
	}
	_, err = endAsHost(ctx, b.Process, conn)
	return err
}

func getStalled(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	body, err := put(ctx, st, s.key("big"), 128<<20)
	if err != nil {
		return err
	}
	down, err := st.Get(ctx, s.key("big"))
	if err == nil {
		_, err = io.ReadFull(down, make([]byte, 1024))
	}
	if err != nil {
		return err
	}
	// The status of the call arrives after the data that was sent before it, so the
	// data has to be read first.
	select {
	case <-time.After(2*s.plugin.StallLimit + time.Second):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if n, err := io.Copy(io.Discard, down); err == nil {
		return fmt.Errorf("the download is served on: %d of %d bytes and no error", n+1024, body.size)
	}
	return nil
}

func getClosed(ctx context.Context, s *session) error {
	const rounds = 20
	p, err := s.start()
	if err != nil {
		return err
	}
	st := s.store(p)
	if err := s.initStore(ctx, st); err != nil {
		return err
	}
	body, err := put(ctx, st, s.key("big"), 64<<20)
	if err != nil {
		return err
	}
	if err := same(ctx, st, s.key("big"), body); err != nil {
		return err
	}
	before, err := process.OpenFiles(p.PID())
	if err != nil {
		return err
	}
	for range rounds {
		if err := readSome(ctx, st, s.key("big")); err != nil {
			return err
		}
	}
	if err := s.memory(p.Process); err != nil {
		return err
	}
	return eventually(ctx, soon, func() error {
		after, err := process.OpenFiles(p.PID())
		if err == nil && after > before+rounds/2 {
			err = fmt.Errorf("the plugin has %d open descriptors, it had %d", after, before)
		}
		return err
	})
}

// readSome reads the beginning of an object and closes it.
func readSome(ctx context.Context, st wire.Store, key string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	down, err := st.Get(ctx, key)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(down, make([]byte, 100_000))
	return err
}

func getBackendBreaks(ctx context.Context, s *session) error {
	const size = 256 << 20 // more than any sound plugin reads ahead
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	body, err := put(ctx, st, s.key("big"), size)
	if err != nil {
		return err
	}
	down, err := st.Get(ctx, s.key("big"))
	if err == nil {
		_, err = io.ReadFull(down, make([]byte, 1<<20))
	}
	if err != nil {
		return err
	}
	restore := s.plugin.BreakBackend()
	defer restore()
	n, err := io.Copy(io.Discard, down)
	if err == nil {
		return fmt.Errorf("the download ends without an error after %d of %d bytes", n+1<<20, body.size)
	}
	return nil
}

func brokenBackend(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	key := s.key("object")
	body, err := put(ctx, st, key, 1000)
	if err != nil {
		return err
	}
	if err := s.allFail(ctx, st, key); err != nil {
		return err
	}
	if err := same(ctx, st, key, body); err != nil {
		return fmt.Errorf("with the backend restored: %w", err)
	}
	return absent(ctx, st, s.key("other"))
}

// allFail calls every method while the backend is broken.
func (s *session) allFail(ctx context.Context, st wire.Store, key string) error {
	restore := s.plugin.BreakBackend()
	defer restore()
	calls := []struct {
		name string
		do   func() error
	}{
		{"ObjectExists", func() error { _, err := st.Exists(ctx, key); return err }},
		{"GetObject", func() error { return invert(getFails(ctx, st, key)) }},
		{"ListObjects", func() error { _, err := st.List(ctx, s.key("")); return err }},
		{"ListCommonPrefixes", func() error { _, err := st.Prefixes(ctx, s.key(""), "/"); return err }},
		{"DeleteObject", func() error { return st.Delete(ctx, key) }},
		{"PutObject", func() error { return st.Put(ctx, s.key("other"), strings.NewReader("x")) }},
	}
	return inParallel(len(calls), func(i int) error {
		if err := calls[i].do(); err == nil || strings.TrimSpace(status.Convert(err).Message()) == "" {
			return fmt.Errorf("%s: no error with a reason: %v", calls[i].name, err)
		}
		return nil
	})
}

// invert returns an error if verdict, which getFails returned, is nil: getFails
// returns nil if the call failed, and allFail expects the error of the call.
func invert(verdict error) error {
	if verdict == nil {
		return errors.New("failed")
	}
	return nil
}
