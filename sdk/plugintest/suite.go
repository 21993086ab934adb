package plugintest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// Suite checks one plugin. Its methods may be called from one goroutine only.
type Suite struct {
	plugin  Plugin
	dir     string // holds all that the suite writes
	run     string // name of this run, with which its keys begin
	listed  []offer
	listErr error

	stop    context.CancelFunc // ends the rows that wait
	waiting map[string]<-chan Result
}

// offer is an entry of the plugin's list.
type offer struct {
	kind    wire.Kind
	name    string
	command string
}

// Status is what became of a row.
type Status int

const (
	NotChecked Status = iota // the zero value: nobody has checked the row
	Passed
	Failed
	Skipped       // the caller asked for it
	NotApplicable // the plugin does not offer what the row is about
)

func (s Status) String() string {
	return [...]string{"not checked", "passed", "failed", "skipped", "not applicable"}[s]
}

// Result is what became of one row.
type Result struct {
	Row     Row
	Status  Status
	Reason  string // why it was skipped or does not apply
	Err     error  // why it failed
	Stderr  string // the last lines of the plugin's processes, if the row failed
	Figures []Figure
	Took    time.Duration
}

// Figure is something that a row has measured on its way.
type Figure struct {
	Name  string
	Value float64
	Unit  string
}

func (f Figure) String() string { return fmt.Sprintf("%s %.4g %s", f.Name, f.Value, f.Unit) }

// Open prepares to check a plugin.
func Open(ctx context.Context, p Plugin) (*Suite, error) {
	path, err := filepath.Abs(p.Path)
	if err != nil {
		return nil, err
	}
	p.Path = path
	if err := checkSkips(p.Skip); err != nil {
		return nil, err
	}
	// The path of a socket may have about 100 bytes, so the folder of a test is too long.
	dir, err := os.MkdirTemp("", "pt")
	if err != nil {
		return nil, err
	}
	s := &Suite{plugin: p, dir: dir, run: filepath.Base(dir), stop: func() {}, waiting: map[string]<-chan Result{}}
	s.listed, s.listErr = s.list(ctx)
	return s, nil
}

// Offer is an entry of the plugin's list.
type Offer struct{ Kind, Name string }

// Offers returns the plugin's list, or why the plugin cannot be started or has
// none.
func (s *Suite) Offers() ([]Offer, error) {
	var all []Offer
	for _, o := range s.listed {
		all = append(all, Offer{string(o.kind), o.name})
	}
	return all, s.listErr
}

// Begin starts those of the rows that spend most of their time waiting, so that they
// wait while other rows are checked. Check returns their results. They end with ctx
// or with Close. Calling Begin is optional; it is called once at most.
func (s *Suite) Begin(ctx context.Context, rows []Row) {
	ctx, s.stop = context.WithCancel(ctx)
	for _, row := range rows {
		if row.waits {
			s.waiting[row.ID] = s.begin(ctx, row)
		}
	}
}

func checkSkips(skip map[string]string) error {
	known := map[string]bool{}
	for _, row := range Rows() {
		known[row.ID] = true
	}
	for id, why := range skip {
		if !known[id] {
			return fmt.Errorf("there is no row %q to skip", id)
		}
		if strings.TrimSpace(why) == "" {
			return fmt.Errorf("row %q is to be skipped without a reason", id)
		}
	}
	return nil
}

func (s *Suite) begin(ctx context.Context, row Row) <-chan Result {
	done := make(chan Result, 1)
	go func() { done <- s.check(ctx, row) }()
	return done
}

// Check checks one row.
func (s *Suite) Check(ctx context.Context, row Row) Result {
	if done, ok := s.waiting[row.ID]; ok {
		delete(s.waiting, row.ID)
		return <-done
	}
	return s.check(ctx, row)
}

func (s *Suite) check(ctx context.Context, row Row) Result {
	r := Result{Row: row}
	if why, ok := s.plugin.Skip[row.ID]; ok {
		r.Status, r.Reason = Skipped, why
		return r
	}
	for _, need := range row.needs {
		if why := need(s); why != "" {
			r.Status, r.Reason = NotApplicable, why
			return r
		}
	}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, row.limit(), errTooLong)
	defer cancel()
	session, err := s.session(row)
	if err == nil {
		err = errors.Join(row.run(ctx, session), session.close())
		r.Figures = session.figures
	}
	r.Took = time.Since(began)
	var not notHere
	switch {
	case errors.As(err, &not):
		r.Status, r.Reason = NotApplicable, not.Error()
	case err != nil:
		r.Status, r.Err, r.Stderr = Failed, err, session.stderr()
	default:
		r.Status = Passed
	}
	return r
}

// notHere is returned by a row that turns out not to apply.
type notHere struct{ error }

// Close ends what still runs and removes what the rows have written to the
// plugin's store.
func (s *Suite) Close() error {
	s.stop()
	var done sync.WaitGroup
	for _, result := range s.waiting {
		done.Go(func() { <-result })
	}
	done.Wait()
	var err error
	if store(s) == "" {
		err = s.sweep()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// sweep removes all objects of this run.
func (s *Suite) sweep() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	session, err := s.session(Row{ID: "sweep"})
	if err != nil {
		return err
	}
	st, err := session.openStore(ctx)
	if err == nil {
		err = removeAll(ctx, st, s.run+"/")
	}
	if err = errors.Join(err, session.close()); err != nil {
		return fmt.Errorf("removing the suite's objects below %s: %w", s.run, err)
	}
	return nil
}

func (s *Suite) list(ctx context.Context) ([]offer, error) {
	session, err := s.session(Row{ID: "list"})
	if err != nil {
		return nil, err
	}
	defer session.close()
	p, err := session.start()
	if err != nil {
		if stderr := strings.TrimSpace(session.stderr()); stderr != "" {
			err = fmt.Errorf("%w\nstderr of the plugin:\n%s", err, stderr)
		}
		return nil, err
	}
	entries, err := wire.List(ctx, p.Conn)
	if err != nil {
		return nil, err
	}
	return offers(entries), nil
}

func offers(entries []*abi.PluginIdentifier) []offer {
	var all []offer
	for _, e := range entries {
		all = append(all, offer{wire.Kind(e.GetKind()), e.GetName(), e.GetCommand()})
	}
	return all
}

// names returns the names that the plugin lists under a kind.
func (s *Suite) names(kind wire.Kind) []string {
	var names []string
	for _, o := range s.listed {
		if o.kind == kind {
			names = append(names, o.name)
		}
	}
	return names
}

// actions returns the actions that the plugin lists.
func (s *Suite) actions() []offer {
	return slices.DeleteFunc(slices.Clone(s.listed), func(o offer) bool { return !o.kind.Action() })
}

// storeName returns the object store to be checked.
func (s *Suite) storeName() string {
	if s.plugin.Store.Name != "" {
		return s.plugin.Store.Name
	}
	return s.names(wire.ObjectStore)[0]
}

// storeConfig returns what Velero hands to Init for a location with the given
// spec.config.
func (s *Suite) storeConfig(config map[string]string) map[string]string {
	full := map[string]string{"bucket": s.plugin.Store.Bucket, "prefix": s.run}
	maps.Copy(full, config)
	return full
}

// launch returns how to start the plugin the way most rows do.
func (s *Suite) launch(env []string) host.Launch {
	base := s.plugin.Env
	if base == nil {
		base = os.Environ()
	}
	defaults := []string{"VELERO_NAMESPACE=velero", "LD_LIBRARY_PATH=/plugins"}
	return host.Launch{
		Path: s.plugin.Path,
		Temp: s.dir,
		Args: host.Profiles()[0].Args,
		Env:  slices.Concat(defaults, base, env),
	}
}
