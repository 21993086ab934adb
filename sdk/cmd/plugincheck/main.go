// Plugincheck holds a Velero plugin, in any language, to the contract between
// the Velero server and its plugins.
//
//	plugincheck [flags] PLUGIN
//
// It starts the plugin as the Velero server does and checks one requirement
// after the other. Exit codes: 0 all is well, 1 rows failed, 2 the plugin could
// not be checked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

const (
	exitOK        = 0
	exitFailed    = 1
	exitUnchecked = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run checks a plugin and returns the exit code.
func run(ctx context.Context, args []string, out *os.File, errOut io.Writer) int {
	o, err := parseOptions(args, errOut)
	failed := false
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
	case o.list && o.markdown:
		printTables(out, o.rows)
	case o.list:
		printRows(out, o.rows)
	default:
		failed, err = check(ctx, o, out)
	}
	if err != nil {
		fmt.Fprintln(errOut, "plugincheck:", err)
	}
	switch {
	case failed:
		return exitFailed
	case err != nil:
		return exitUnchecked
	}
	return exitOK
}

// options are the arguments.
type options struct {
	plugin   string
	config   string
	list     bool
	markdown bool             // for the list
	rows     []plugintest.Row // those to check
	level    plugintest.Level // what counts as failed

	junit, json, html string // files to write
}

const usage = `plugincheck checks a Velero plugin:

  plugincheck [flags] PLUGIN

`

func parseOptions(args []string, errOut io.Writer) (options, error) {
	var o options
	var pattern, level string
	flags := flag.NewFlagSet("plugincheck", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() {
		fmt.Fprint(errOut, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.config, "config", "", "`FILE` that says how to reach the plugin's backend and what to hand to it")
	flags.BoolVar(&o.list, "list", false, "print the rows and check nothing")
	flags.BoolVar(&o.markdown, "markdown", false, "with --list: print tables for documentation")
	flags.StringVar(&pattern, "run", "", "check only the rows whose id matches the regular expression `PATTERN`")
	flags.StringVar(&level, "level", "should", "the least `LEVEL` of a row whose failure counts: must or should")
	flags.StringVar(&o.junit, "junit", "", "write a JUnit report to `FILE`")
	flags.StringVar(&o.json, "json", "", "write a JSON report to `FILE`")
	flags.StringVar(&o.html, "html", "", "write an HTML page to `FILE`")
	positional, err := parseMixed(flags, args)
	if err != nil {
		return o, err
	}
	if o.level, err = parseLevel(level); err != nil {
		return o, err
	}
	if o.rows, err = matching(pattern); err != nil || o.list {
		return o, err
	}
	if len(positional) != 1 {
		return o, fmt.Errorf("%d plugins are named; give the path of one", len(positional))
	}
	o.plugin = positional[0]
	return o, nil
}

// parseMixed allows flags behind the other arguments as well.
func parseMixed(flags *flag.FlagSet, args []string) (positional []string, err error) {
	for {
		if err := flags.Parse(args); err != nil || flags.NArg() == 0 {
			return positional, err
		}
		positional, args = append(positional, flags.Arg(0)), flags.Args()[1:]
	}
}

func parseLevel(text string) (plugintest.Level, error) {
	for _, level := range []plugintest.Level{plugintest.Must, plugintest.Should} {
		if text == level.String() {
			return level, nil
		}
	}
	return 0, fmt.Errorf("--level is must or should, not %q", text)
}

func matching(pattern string) ([]plugintest.Row, error) {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	rows := slices.DeleteFunc(plugintest.Rows(), func(r plugintest.Row) bool { return !wanted.MatchString(r.ID) })
	if len(rows) == 0 {
		return nil, fmt.Errorf("--run: no row matches %q; --list prints them", pattern)
	}
	return rows, nil
}

// check checks the rows, writes the reports and says whether a row that counts
// has failed. An error says what could not be done, which may be all of it.
func check(ctx context.Context, o options, out *os.File) (failed bool, err error) {
	plugin := plugintest.Plugin{Path: o.plugin, Env: environment(nil, nil)}
	var backend *breaker
	if o.config != "" {
		if plugin, backend, err = readConfig(o.config); err != nil {
			return false, err
		}
		plugin.Path = o.plugin
	}
	suite, err := plugintest.Open(ctx, plugin)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, suite.Close(), backend.problem()) }()
	offers, err := suite.Offers()
	if err != nil {
		return false, fmt.Errorf("%s cannot be started as a plugin: %w", o.plugin, err)
	}
	if err := knownActions(plugin, offers); err != nil {
		return false, fmt.Errorf("%s: %w", o.config, err)
	}
	r := newReport(o, offers)
	if err := r.fill(ctx, suite, o.rows, newTerminal(out)); err != nil {
		return false, err
	}
	return r.failed(), r.write(o)
}

// fill checks the rows, one after the other, and shows each.
func (r *report) fill(ctx context.Context, suite *plugintest.Suite, rows []plugintest.Row, t *terminal) error {
	t.head(r)
	suite.Begin(ctx, rows)
	began := time.Now()
	for i, row := range rows {
		t.begin(i, len(rows), row)
		result := suite.Check(ctx, row)
		if ctx.Err() != nil {
			t.clear()
			return errors.New("interrupted")
		}
		t.row(r.add(result))
	}
	r.Seconds = seconds(time.Since(began))
	t.summary(r)
	return nil
}
