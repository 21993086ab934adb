// Command bench compares our plugin of a cloud with a baseline plugin: what they
// weigh, what they cost to start, and how they move bytes between Velero's own
// client and a server of the cloud's protocol, on loopback and through a link that behaves like
// the way to a real bucket. README.md says how to read the result.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/oadp-plugins/oadp-plugins/test/support/slowlink"
)

// slowPath is what a bucket in the same region looks like to one connection.
var slowPath = slowlink.Path{RoundTrip: 20 * time.Millisecond, BytesPerSecond: 40 << 20}

type options struct {
	provider               string
	ours, baseline, server string
	sizes, links           []string
	rounds, launches, keys int
	quick, json, secure    bool
	perfDir                string
	huge                   string
	config                 map[string]string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	var o options
	flags := pflag.CommandLine
	flags.StringVar(&o.provider, "provider", "aws", "the cloud whose plugin is measured")
	flags.StringVar(&o.ours, "ours", "", "the plugin to measure; by default the provider's in ../../../bin")
	flags.StringVar(&o.baseline, "baseline", "", "the plugin to compare it with; by default the provider's below ./baseline is built")
	flags.StringVar(&o.server, "server", "", "binary of the store's server; by default the one of the test stack, which is built if need be")
	flags.StringSliceVar(&o.sizes, "sizes", []string{"16KiB", "8MiB", "128MiB", "256MiB", "1GiB"}, "object sizes to put and get; the targets are about 256MiB")
	flags.StringSliceVar(&o.links, "links", []string{loopback, slow}, "links to the store")
	flags.BoolVar(&o.secure, "tls", false, "speak https to the store")
	flags.IntVar(&o.rounds, "rounds", 5, "readings of each put, get and list")
	flags.IntVar(&o.launches, "launches", 25, "readings of the start of each plugin")
	flags.IntVar(&o.keys, "keys", 5000, "keys in the list")
	flags.BoolVar(&o.quick, "quick", false, "what the targets need, in about a minute: 256 MiB, 2 rounds")
	flags.BoolVar(&o.json, "json", false, "write JSON to stdout instead of tables")
	flags.StringToStringVar(&o.config, "config", nil, "further keys of the location; the baseline ignores those it does not know")
	flags.StringVar(&o.perfDir, "perf", "", "record a perf profile of each reading of our plugin in this folder; build the plugin with its symbols for that")
	flags.StringVar(&o.huge, "huge", "", "only put one object of this size with our aws plugin, to a server that checks and forgets it: 60GiB")
	pflag.Parse()
	if o.quick {
		setUnlessGiven(flags, map[string]string{"sizes": "16KiB,256MiB", "rounds": "2", "launches": "10"})
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A reader of the tables that goes away is an error of writing then, and does
	// not end the process before it has cleaned up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := bench(ctx, o); err != nil {
		log.Fatal(err)
	}
}

func setUnlessGiven(flags *pflag.FlagSet, values map[string]string) {
	for name, value := range values {
		if !flags.Changed(name) {
			flags.Set(name, value)
		}
	}
}

// bench leaves nothing behind: no process, no socket, no object.
func bench(ctx context.Context, o options) (err error) {
	sizes, err := parseSizes(o.sizes)
	if err != nil {
		return err
	}
	if o.rounds < 1 || o.launches < 1 {
		return errors.New("--rounds and --launches must be at least 1")
	}
	provider, err := findProvider(o.provider)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.huge != "" {
		size, err := parseSize(o.huge)
		if err != nil {
			return err
		}
		plugin, err := filepath.Abs(cmp.Or(o.ours, "../../../bin/velero-plugin-for-aws"))
		if err != nil {
			return err
		}
		return huge(ctx, os.Stdout, plugin, size, dir)
	}
	binaries, binary, err := provide(ctx, o, provider, dir)
	if err != nil {
		return err
	}
	copies, err := copyPlugins(binaries, dir)
	if err != nil {
		return err
	}
	if err := cleanEnvironment(dir); err != nil {
		return err
	}
	becomeServer()
	veleroLog, err := os.Create(filepath.Join(dir, "velero.log"))
	if err != nil {
		return err
	}
	defer veleroLog.Close()
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w\nend of the log of Velero's plugin client:\n%s", err, tail(veleroLog.Name()))
		}
	}()

	progress("starting %s and filling it", provider.server)
	store, err := provider.start(ctx, binary, dir, o.secure)
	if err != nil {
		return err
	}
	defer store.stop()
	body := newContent()
	if err := store.seed(ctx, body, sizes, o.keys); err != nil {
		return err
	}
	proxy, err := slowlink.Listen(store.address(), slowPath)
	if err != nil {
		return err
	}
	defer proxy.Close()
	credentialsFile, err := provider.writeCredentials(dir)
	if err != nil {
		return err
	}
	locations := map[string]map[string]string{
		loopback: store.location(store.address(), credentialsFile),
		slow:     store.location(proxy.Addr(), credentialsFile),
	}
	for _, location := range locations {
		maps.Copy(location, o.config)
	}
	links, err := chooseLinks(o.links, locations)
	if err != nil {
		return err
	}

	r := &run{
		binaries: copies, storeName: provider.store, links: links, works: works(body, sizes, o.keys),
		rounds: o.rounds, launches: o.launches, perfDir: o.perfDir,
		veleroLog: newLogger(veleroLog), readings: newReadings(), progress: progress,
	}
	if err := r.all(ctx); err != nil {
		return err
	}
	scheme := "http"
	if o.secure {
		scheme = "https"
	}
	f := facts{
		CPUs: runtime.NumCPU(), Server: provider.server, Store: scheme, LoadAtEnd: load(), Rounds: o.rounds, Launches: o.launches, Plugins: binaries,
		SlowLink: fmt.Sprintf("%v round trip, %d MiB/s per connection", slowPath.RoundTrip, slowPath.BytesPerSecond>>20),
	}
	if o.json {
		return writeJSON(os.Stdout, f, r.readings)
	}
	return writeTables(os.Stdout, f, r.readings)
}

func parseSizes(texts []string) ([]int64, error) {
	var sizes []int64
	for _, text := range texts {
		size, err := parseSize(text)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

func works(body content, sizes []int64, keys int) []work {
	var all []work
	for _, size := range sizes {
		all = append(all, putWork(body, size), getWork(body, size))
	}
	return append(all, smallPutsWork(body), listWork(keys))
}

func chooseLinks(names []string, locations map[string]map[string]string) ([]link, error) {
	var links []link
	for _, name := range names {
		location, known := locations[name]
		if !known {
			return nil, fmt.Errorf("link %q: want %s or %s", name, loopback, slow)
		}
		links = append(links, link{name, location})
	}
	if len(links) == 0 {
		return nil, errors.New("--links names none")
	}
	return links, nil
}

// cleanEnvironment keeps what the caller's shell says about proxies, AWS and
// certificates from the plugins, which inherit the environment.
func cleanEnvironment(dir string) error {
	path := os.Getenv("PATH")
	os.Clearenv()
	return errors.Join(os.Setenv("PATH", path), os.Setenv("HOME", dir), os.Setenv("TMPDIR", dir))
}

func newLogger(w io.Writer) logrus.FieldLogger {
	logger := logrus.New()
	logger.SetOutput(w)
	return logger
}

func tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(data), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// load is the machine's load average of the last minute; 0 where unknown.
func load() float64 {
	var average float64
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(data), &average)
	}
	return average
}
