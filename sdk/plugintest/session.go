package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// session is one row's use of the plugin. It has a folder for temporary files. Its
// processes have the mark in their environment, so that the suite finds those that
// are left.
type session struct {
	*Suite
	row     Row
	temp    string
	mark    string // such as PLUGINTEST_SESSION=/tmp/pt1/2
	figures []Figure

	mu        sync.Mutex
	processes []*process.Process
	clients   []*host.Plugin
}

func (s *Suite) session(row Row) (*session, error) {
	temp, err := os.MkdirTemp(s.dir, "")
	if err != nil {
		return nil, err
	}
	return &session{Suite: s, row: row, temp: temp, mark: "PLUGINTEST_SESSION=" + temp}, nil
}

// close ends all processes of the session and waits for their end.
func (s *session) close() error {
	var stopped sync.WaitGroup
	for _, p := range s.clients {
		stopped.Go(p.Stop)
	}
	for _, p := range s.processes {
		s.await(p)
	}
	// Stop waits for children that hold the plugin's streams.
	var errs []error
	for _, pid := range process.WithVariable(s.mark) {
		errs = append(errs, end(pid))
	}
	stopped.Wait()
	return errors.Join(append(errs, os.RemoveAll(s.temp))...)
}

// await gives a process that was asked to end the time that the Velero server gives
// it, and then kills it. A process that was not asked is killed at once.
func (s *session) await(p *process.Process) {
	asked := slices.ContainsFunc(s.clients, func(c *host.Plugin) bool { return c.Process == p })
	if asked {
		ctx, cancel := context.WithTimeout(context.Background(), graceOfHost)
		defer cancel()
		_, _ = p.Wait(ctx) // how it ends is checked by other rows
	}
	p.Kill()
}

func end(pid int) error {
	h, err := process.Open(pid)
	if err != nil {
		return nil // it has ended by itself
	}
	defer h.Close()
	return h.Kill()
}

// stderr returns the end of what the session's processes have logged.
func (s *session) stderr() string {
	if s == nil {
		return ""
	}
	const keep = 4000
	var all strings.Builder
	for _, p := range s.processes {
		text := string(p.Stderr().Bytes())
		all.WriteString(text[max(0, len(text)-keep):])
	}
	text := all.String()
	return text[max(0, len(text)-2*keep):]
}

// launch returns how to start the plugin within this session.
func (s *session) launch() host.Launch {
	return s.Suite.launch([]string{"TMPDIR=" + s.temp, "VELERO_SCRATCH_DIR=" + s.temp, s.mark})
}

// start starts the plugin as the Velero server does.
func (s *session) start() (*host.Plugin, error) { return s.startAs(s.launch()) }

func (s *session) startAs(l host.Launch) (*host.Plugin, error) {
	p, err := host.Start(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != nil {
		s.processes = append(s.processes, p.Process)
	}
	if err == nil {
		s.clients = append(s.clients, p)
	}
	return p, err
}

// startBare starts the plugin without go-plugin's client.
func (s *session) startBare(ctx context.Context, l host.Launch) (*host.Bare, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	b, err := host.StartBare(ctx, l)
	if b != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.processes = append(s.processes, b.Process)
	}
	return b, err
}

// openStore starts the plugin and initializes its object store.
func (s *session) openStore(ctx context.Context) (wire.Store, error) {
	p, err := s.start()
	if err != nil {
		return wire.Store{}, err
	}
	st := s.store(p)
	return st, s.initStore(ctx, st)
}

func (s *session) store(p *host.Plugin) wire.Store {
	return wire.Store{Conn: p.Conn, Name: s.storeName(), Bucket: s.plugin.Store.Bucket}
}

func (s *session) initStore(ctx context.Context, st wire.Store) error {
	if err := st.Init(ctx, s.storeConfig(s.plugin.Store.Config)); err != nil {
		return fmt.Errorf("calling Init: %w", err)
	}
	return nil
}

// key returns a key that no other row uses.
func (s *session) key(name string) string { return s.run + "/" + s.row.ID + "/" + name }

func (s *session) figure(name string, value float64, unit string) {
	s.figures = append(s.figures, Figure{name, value, unit})
}

// memory reports what the plugin occupies and has occupied.
func (s *session) memory(p *process.Process) error {
	m, err := process.MemoryOf(p.PID())
	if err != nil {
		return err
	}
	s.figure("resident memory", float64(m.Resident)/(1<<20), "MiB")
	s.figure("peak memory", float64(m.Peak)/(1<<20), "MiB")
	return nil
}

// residue returns an error when the plugin has left files in its folder for
// temporary ones. Sockets do not count: a plugin that runs may have one there.
func (s *session) residue() error {
	return s.leftInTemp(func(mode fs.FileMode) bool { return mode&fs.ModeSocket == 0 })
}

func (s *session) leftInTemp(counts func(fs.FileMode) bool) error {
	var left []string
	err := filepath.WalkDir(s.temp, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && path != s.temp && counts(entry.Type()) {
			left = append(left, strings.TrimPrefix(path, s.temp+"/"))
		}
		return err
	})
	if len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("left in TMPDIR: %s", strings.Join(left, ", ")))
	}
	return err
}

// gone returns an error when processes of the session still run.
func (s *session) gone() error {
	if pids := process.WithVariable(s.mark); len(pids) > 0 {
		return fmt.Errorf("processes still run: %v", pids)
	}
	return nil
}
