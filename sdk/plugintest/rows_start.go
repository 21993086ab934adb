package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// startRows are about the start of the process, up to the answer with the list of
// plugins.
func startRows() []Row {
	return []Row{{
		ID: "start.no-cookie", Level: Must, Name: "run by hand",
		Contract:    "without the handshake cookie the program explains itself on stderr, prints nothing on stdout, opens no socket and ends with exit code 1",
		Consequence: "an administrator who runs the file by hand sees nothing, or a process that waits for ever",
		run:         startedByHand,
	}, {
		ID: "start.handshake", Level: Must, Name: "handshake",
		Contract:    "with the arguments of every Velero version the first bytes on stdout are a valid handshake line and nothing follows it",
		Consequence: "the Velero server does not start, as it starts every plugin once to ask for its list",
		run:         handshake,
	}, {
		ID: "start.log-level", Level: Should, Name: "bad log level",
		Contract:    "arguments that cannot be parsed do not keep the plugin from starting",
		Consequence: "a misspelt flag of the Velero server takes the plugin down, and the server with it",
		run:         badLogLevel,
	}, {
		ID: "start.list", Level: Must, Name: "list of plugins",
		Contract:    "the list has entries of known kinds with valid and unique names, the command is argv[0] as it was given, and no action is listed under both of its versions",
		Consequence: "the Velero server does not start, or runs an action twice on each item",
		run:         listing,
	}, {
		ID: "start.read-only", Level: Should, Name: "read-only root",
		Contract:    "the plugin starts where it can write to its scratch folder only",
		Consequence: "the plugin does not start in a pod with a read-only root, and Velero does not either",
		run:         readOnlyRoot,
	}, {
		ID: "start.long-tmpdir", Level: Should, Name: "long TMPDIR",
		Contract:    "the plugin starts when the path of TMPDIR is longer than that of a socket may be",
		Consequence: "the plugin does not start where TMPDIR is long, and Velero does not either",
		run:         longTempDir,
	}}
}

func startedByHand(ctx context.Context, s *session) error {
	p, err := host.Exec(s.launchWith(nil))
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	exit, err := p.Wait(ctx)
	if err != nil {
		return err
	}
	if err := streamsEnd(ctx, p.Stdout(), p.Stderr()); err != nil {
		return err
	}
	var errs []error
	if exit.Code != 1 {
		errs = append(errs, fmt.Errorf("%s instead of exit code 1", exit))
	}
	if out := p.Stdout().Bytes(); len(out) > 0 {
		errs = append(errs, fmt.Errorf("stdout: %.200q", out))
	}
	if len(bytes.TrimSpace(p.Stderr().Bytes())) == 0 {
		errs = append(errs, errors.New("nothing on stderr"))
	}
	return errors.Join(append(errs, s.cleanEnd(""))...)
}

// launchWith returns the session's launch with other arguments.
func (s *session) launchWith(args []string) host.Launch {
	l := s.launch()
	l.Args = args
	return l
}

func handshake(ctx context.Context, s *session) error {
	const starts = 5
	for i, profile := range host.Profiles() {
		var took []time.Duration
		for range starts {
			b, err := s.startBare(ctx, s.launchWith(profile.Args))
			if err != nil {
				return fmt.Errorf("%s: %w", profile.Name, err)
			}
			took = append(took, time.Since(b.Started()))
			if i == 0 && len(took) == starts {
				if err := s.memory(b.Process); err != nil {
					return err
				}
			}
			if err := endQuietly(ctx, b); err != nil {
				return fmt.Errorf("%s: %w", profile.Name, err)
			}
		}
		slices.Sort(took)
		s.figure("exec to handshake, "+profile.Name, float64(took[starts/2].Microseconds())/1000, "ms")
	}
	return nil
}

// endQuietly asks a plugin to end and returns an error when it has printed more
// than its handshake line.
func endQuietly(ctx context.Context, b *host.Bare) error {
	if _, err := shutDown(ctx, b); err != nil {
		return err
	}
	return onlyHandshake(ctx, b)
}

func onlyHandshake(ctx context.Context, b *host.Bare) error {
	if err := streamsEnd(ctx, b.Stdout()); err != nil {
		return err
	}
	if stray, ok := strings.CutPrefix(string(b.Stdout().Bytes()), b.Handshake.Line); !ok || stray != "" {
		return fmt.Errorf("printed on stdout beside the handshake: %.200q", stray)
	}
	return nil
}

func badLogLevel(ctx context.Context, s *session) error {
	for _, args := range [][]string{{"--log-level", "chatty"}, {"--log-level"}, {"--log-level=", "--features"}} {
		b, err := s.startBare(ctx, s.launchWith(args))
		if err != nil {
			return fmt.Errorf("arguments %q: %w", args, err)
		}
		if err := endQuietly(ctx, b); err != nil {
			return fmt.Errorf("arguments %q: %w", args, err)
		}
	}
	return nil
}

func listing(ctx context.Context, s *session) error {
	link := filepath.Join(s.temp, "a-link")
	if err := os.Symlink(s.plugin.Path, link); err != nil {
		return err
	}
	for _, path := range []string{s.plugin.Path, link} {
		for _, profile := range host.Profiles() {
			l := s.launchWith(profile.Args)
			l.Path = path
			p, err := s.startAs(l)
			if err != nil {
				return err
			}
			entries, err := wire.List(ctx, p.Conn)
			if err != nil {
				return fmt.Errorf("ListPlugins: %w", err)
			}
			if err := checkList(offers(entries), path); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkList(all []offer, argv0 string) error {
	if len(all) == 0 {
		return errors.New("the list is empty")
	}
	var errs []error
	seen := map[[2]string]bool{}
	for _, o := range all {
		if o.kind.Service() == "" {
			errs = append(errs, fmt.Errorf("kind %q of %s keeps the Velero server from starting", o.kind, o.name))
		}
		if why := badName(o.name); why != "" {
			errs = append(errs, fmt.Errorf("name %q: %s", o.name, why))
		}
		if o.command != argv0 {
			errs = append(errs, fmt.Errorf("command of %s is %q, argv[0] was %q", o.name, o.command, argv0))
		}
		id := [2]string{string(o.kind.Version1()), o.name}
		if seen[id] {
			errs = append(errs, fmt.Errorf("%s %s is listed twice", o.kind, o.name))
		}
		seen[id] = true
	}
	return errors.Join(errs...)
}

var dnsLabels = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

func badName(name string) string {
	prefix, rest, ok := strings.Cut(name, "/")
	switch {
	case !ok || prefix == "" || rest == "" || strings.Contains(rest, "/"):
		return "it has to be of the form prefix/name"
	case len(prefix) > 253 || !dnsLabels.MatchString(prefix):
		return "its prefix is no DNS subdomain"
	}
	return ""
}

func readOnlyRoot(ctx context.Context, s *session) error {
	scratch := filepath.Join(s.temp, "scratch")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	l := s.launch()
	l.Env = append(l.Env, "TMPDIR=/tmp", "VELERO_SCRATCH_DIR="+scratch)
	l.ReadOnly = &host.ReadOnly{Writable: []string{scratch}}
	b, err := s.startBare(ctx, l)
	if errors.Is(err, host.ErrNoNamespaces) {
		return notHere{err}
	}
	if err != nil {
		return err
	}
	return answers(ctx, b)
}

func longTempDir(ctx context.Context, s *session) error {
	dir := filepath.Join(s.temp, strings.Repeat("d", 200-len(s.temp)-1))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	l := s.launch()
	l.Env = append(l.Env, "TMPDIR="+dir)
	b, err := s.startBare(ctx, l)
	if err != nil {
		return err
	}
	return answers(ctx, b)
}
