package sdk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

const usage = `%[1]s is a plugin of the Velero server, which starts it. By hand:

  %[1]s version              print the version
  %[1]s config               print the keys of spec.config
  %[1]s check --location F   find out why a location is Unavailable
  %[1]s install DIR          copy the plugin into Velero's plugin directory
`

// command is one that a plugin adds to those of every plugin.
type command struct {
	name, about string
	run         func(context.Context, CommandInput) error
}

// Exit codes of the command line.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// byHand runs the command line and returns the exit code.
func (p *Plugin) byHand(args []string, in io.Reader, out, errOut io.Writer) int {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer p.close()
	var err error
	switch command {
	case "version", "--version":
		p.printVersion(out)
	case "config":
		err = p.printConfig(args, out, errOut)
	case "check":
		err = p.check(ctx, args, in, out, errOut)
	case "install":
		err = p.install(args, out)
	case "help", "--help", "-h":
		p.printUsage(out)
	case "":
		p.printUsage(errOut)
		return exitFailed
	default:
		own, ok := p.command(command)
		if !ok {
			fmt.Fprintf(errOut, "%s: no command %q\n\n", p.name, command)
			p.printUsage(errOut)
			return exitUsage
		}
		err = own.run(ctx, CommandInput{Args: args, Host: p.hostByHand(errOut), Stdin: in, Stdout: out, Stderr: errOut})
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, new(usageError)):
		fmt.Fprintf(errOut, "%s %s: %v\n", p.name, command, err)
		return exitUsage
	}
	fmt.Fprintf(errOut, "%s %s: %v\n", p.name, command, err)
	return exitFailed
}

// usageError is a mistake in the arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// command returns the plugin's own command of that name.
func (p *Plugin) command(name string) (command, bool) {
	i := slices.IndexFunc(p.commands, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return p.commands[i], true
}

func (p *Plugin) printUsage(w io.Writer) {
	fmt.Fprintf(w, usage, p.name)
	for _, c := range p.commands {
		fmt.Fprintf(w, "  %s %-20s %s\n", p.name, c.name, c.about)
	}
}

func (p *Plugin) printVersion(out io.Writer) {
	fmt.Fprintf(out, "%s %s\n", p.name, p.version)
	if commit := revision(); commit != "" {
		fmt.Fprintf(out, "commit %s\n", commit)
	}
	fmt.Fprintf(out, "%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// printConfig prints the keys of every store that tells them. With --markdown
// each table is between the markers that documentation has around it.
func (p *Plugin) printConfig(args []string, out, errOut io.Writer) (err error) {
	flags := flag.NewFlagSet("config", flag.ContinueOnError)
	flags.SetOutput(errOut)
	markdown := flags.Bool("markdown", false, "print tables for documentation")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError(err.Error())
	}
	printed := 0
	print := func(kind, name string, store any, constructErr error) {
		c, ok := store.(Configured)
		if constructErr != nil || !ok {
			err = errors.Join(err, constructErr)
			return
		}
		if printed++; printed > 1 {
			fmt.Fprintln(out)
		}
		if *markdown {
			fmt.Fprintf(out, "<!-- config: %s %s -->\n%s<!-- end -->\n", name, kind, c.ConfigKeys().Markdown())
			return
		}
		fmt.Fprintf(out, "%s with provider %s, keys of spec.config:\n\n", kind, name)
		err = errors.Join(err, c.ConfigKeys().WriteText(out))
	}
	for _, name := range p.objectStores.names() {
		store, err := p.objectStores.find(name)
		print(location.BackupStorage, name, store, err)
	}
	for _, name := range p.volumeSnapshotters.names() {
		snapshotter, err := p.volumeSnapshotters.find(name)
		print(location.VolumeSnapshot, name, snapshotter, err)
	}
	if printed == 0 && !*markdown {
		fmt.Fprintf(out, "%s has no configuration\n", p.name)
	}
	return err
}

// checkTimeout bounds each step of a check.
const checkTimeout = time.Minute

// check walks from the configuration of a location to a working store and stops
// at the first step that fails.
func (p *Plugin) check(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(errOut)
	file := flags.String("location", "", "`FILE` with the BackupStorageLocation or VolumeSnapshotLocation, as `oc get ... -o yaml` prints it; - is standard input")
	name := flags.String("name", "", "the location's `NAME`, when the file holds several")
	credentials := flags.String("credentials-file", "", "`FILE` to use in place of the one that Velero writes from spec.credential")
	bundle := flags.String("ca-file", "", "`FILE` with the CA bundle, in place of spec.objectStorage.caCert or caCertRef")
	verbose := flags.Bool("v", false, "print the plugin's log to stderr")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError(err.Error())
	}
	if *file == "" || flags.NArg() > 0 {
		return usageError("say which location to check: --location FILE")
	}
	if *verbose {
		p.log = slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	l, err := readLocation(*file, *name, in)
	if err != nil {
		return err
	}
	config, err := initConfig(l, *credentials, *bundle)
	if err != nil {
		return err
	}
	steps, err := p.checks(ctx, l, config)
	fmt.Fprintf(out, "%s %s, provider %s\n", l.Kind, l.Name, l.PluginName())
	for _, note := range misplacedKeys(l) {
		fmt.Fprintf(out, "  note  %-12s %s\n", "config", note)
	}
	if err != nil {
		fmt.Fprintf(out, "  FAIL  %-12s %v\n", "config", err)
		return errBroken
	}
	for _, step := range steps {
		found, err := runCheck(ctx, step)
		if err != nil {
			fmt.Fprintf(out, "  FAIL  %-12s %v\n", step.Name, err)
			return errBroken
		}
		fmt.Fprintf(out, "  ok    %-12s %s\n", step.Name, found)
	}
	return nil
}

var errBroken = errors.New("the location does not work; the step that failed is named above")

func runCheck(ctx context.Context, step Check) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return step.Run(ctx)
}

func readLocation(file, name string, in io.Reader) (*location.Location, error) {
	if file != "-" {
		return location.ReadFile(file, name)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("reading standard input: %w", err)
	}
	return location.Parse(data, name)
}

// initConfig returns what Velero would hand to Init. Files named on the command
// line take the place of those that Velero provides.
func initConfig(l *location.Location, credentials, bundle string) (map[string]string, error) {
	l.Namespace = cmp.Or(l.Namespace, os.Getenv("VELERO_NAMESPACE"), "velero")
	var ca string
	if bundle != "" {
		pem, err := os.ReadFile(bundle)
		if err != nil {
			return nil, fmt.Errorf("reading the CA bundle: %w", err)
		}
		ca, l.CACert = string(pem), string(pem)
	} else if l.CACertRef != nil {
		return nil, usageError(fmt.Sprintf("the CA bundle is in secret %s, which this command cannot read: write it to a file and name that with --ca-file", l.CACertRef))
	}
	config := l.InitConfig(ca)
	if credentials != "" {
		config[location.CredentialsFileKey] = credentials
	}
	return config, nil
}

// checks returns the steps for a location: the plugin's own, then the use of
// the store through its interface.
func (p *Plugin) checks(ctx context.Context, l *location.Location, config map[string]string) ([]Check, error) {
	if l.Kind == location.VolumeSnapshot {
		if p.volumeSnapshotters[l.PluginName()] == nil {
			return nil, p.wrongProvider(l, p.volumeSnapshotters.names())
		}
		snapshotter, err := p.volumeSnapshotters.find(l.PluginName())
		if err != nil {
			return nil, err
		}
		steps, err := ownChecks(ctx, snapshotter, config)
		return append(steps, initCheck(snapshotter, config)), err
	}
	if p.objectStores[l.PluginName()] == nil {
		return nil, p.wrongProvider(l, p.objectStores.names())
	}
	store, err := p.objectStores.find(l.PluginName())
	if err != nil {
		return nil, err
	}
	steps, err := ownChecks(ctx, store, config)
	steps = append(steps, initCheck(store, config))
	return append(steps, storeChecks(store, l)...), err
}

func (p *Plugin) wrongProvider(l *location.Location, have []string) error {
	return fmt.Errorf("%s has no plugin for provider %s of a %s; it has %q", p.name, l.PluginName(), l.Kind, have)
}

func ownChecks(ctx context.Context, store any, config map[string]string) ([]Check, error) {
	if c, ok := store.(Checked); ok {
		return c.Checks(ctx, ChecksInput{Config: config})
	}
	return nil, nil
}

func initCheck(store initializer, config map[string]string) Check {
	return Check{"init", func(ctx context.Context) (string, error) {
		_, err := store.Init(ctx, InitInput{Config: config})
		return "the plugin accepts the configuration", err
	}}
}

// storeChecks uses a store as Velero does: the list that validates a location,
// then an object's life under a folder that Velero allows.
func storeChecks(store ObjectStore, l *location.Location) []Check {
	root := ""
	if l.Prefix != "" {
		root = l.Prefix + "/"
	}
	key := root + "plugins/check-" + rand.Text()
	content := []byte("written by a check of this location; it can be deleted\n")
	// A step that fails is the last one, so it removes the object.
	orRemove := func(err error) error {
		if err == nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
		defer cancel()
		if _, deleteErr := store.DeleteObject(ctx, DeleteObjectInput{Bucket: l.Bucket, Key: key}); deleteErr != nil {
			return errors.Join(err, fmt.Errorf("%s was left behind: %w", key, deleteErr))
		}
		return err
	}
	return []Check{
		{"list", func(ctx context.Context) (string, error) {
			return list(ctx, store, l.Bucket, root)
		}},
		{"put", func(ctx context.Context) (string, error) {
			_, err := store.PutObject(ctx, PutObjectInput{Bucket: l.Bucket, Key: key, Body: bytes.NewReader(content)})
			return key, err
		}},
		{"get", func(ctx context.Context) (string, error) {
			return fmt.Sprintf("%d bytes, as written", len(content)), orRemove(compare(ctx, store, l.Bucket, key, content))
		}},
		{"sign", func(ctx context.Context) (string, error) {
			_, err := store.CreateSignedURL(ctx, CreateSignedURLInput{Bucket: l.Bucket, Key: key, TTL: time.Minute})
			return "download URLs can be signed", orRemove(err)
		}},
		{"delete", func(ctx context.Context) (string, error) {
			if _, err := store.DeleteObject(ctx, DeleteObjectInput{Bucket: l.Bucket, Key: key}); err != nil {
				return "", err
			}
			result, err := store.ObjectExists(ctx, ObjectExistsInput{Bucket: l.Bucket, Key: key})
			if result.Exists {
				err = fmt.Errorf("%s is still there after it was deleted", key)
			}
			return key + " is gone", err
		}},
	}
}

// list reports the folders of a location. Velero refuses a location with
// folders that it does not know.
func list(ctx context.Context, store ObjectStore, bucket, root string) (string, error) {
	result, err := store.ListCommonPrefixes(ctx, ListCommonPrefixesInput{Bucket: bucket, Prefix: root, Delimiter: "/"})
	if err != nil {
		return "", err
	}
	folders := result.Prefixes
	var foreign []string
	for _, folder := range folders {
		switch folder[len(root):] {
		case "backups/", "restores/", "restic/", "metadata/", "plugins/", "kopia/":
		default:
			foreign = append(foreign, folder)
		}
	}
	if len(foreign) > 0 {
		return "", foreignFolders(bucket, root, foreign)
	}
	return fmt.Sprintf("bucket %s, %d folders of Velero's", bucket, len(folders)), nil
}

func compare(ctx context.Context, store ObjectStore, bucket, key string, want []byte) error {
	object, err := store.GetObject(ctx, GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return err
	}
	defer object.Body.Close()
	got, err := io.ReadAll(object.Body)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%s came back with other bytes than were written", key)
	}
	return err
}

// install copies the running binary into a directory, in place of an older one.
func (p *Plugin) install(args []string, out io.Writer) error {
	if len(args) != 1 {
		return usageError("say where to: install DIR")
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this binary: %w", err)
	}
	target := filepath.Join(args[0], p.name)
	if err := copyExecutable(self, target); err != nil {
		return fmt.Errorf("installing %s: %w", target, err)
	}
	fmt.Fprintf(out, "installed %s %s\n", target, p.version)
	return nil
}

// copyExecutable writes a file that is either complete and executable or not
// there: Velero starts every executable file that it finds.
func copyExecutable(source, target string) (err error) {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(target), ".install-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			out.Close()
			os.Remove(out.Name())
		}
	}()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if err := out.Chmod(0o755); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(out.Name(), target)
}
