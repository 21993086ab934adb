package hosts

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// serverFlags are those of a Velero server. Hosts up to 1.14 pass on the log
// level and the features, later ones all of it.
var serverFlags = []string{"--log-level=debug", "--features=EnableCSI,EnableExample", "--uploader-type=kopia", "--unknown", "x"}

// host is a process that runs plugins behind the client of a release.
type host struct {
	t       *testing.T
	release tools.VeleroRelease
	client  *rpc.Client
	process *exec.Cmd
	plugins string // folder
	tmp     string // folder of temporary files
	log     string // file
	// provoked is the message of error lines that the test brings about.
	provoked string
}

// start starts a host with the given plugins, which it has not discovered yet.
// The host ends with the test, and must leave nothing behind.
func start(t *testing.T, release tools.VeleroRelease, plugins ...string) *host {
	t.Helper()
	dir, err := os.MkdirTemp(servers.Dir(), "host-") // short, as sockets are made below it
	if err != nil {
		t.Fatal(err)
	}
	h := &host{
		t: t, release: release, plugins: filepath.Join(dir, "plugins"),
		tmp: filepath.Join(dir, "tmp"), log: filepath.Join(dir, "log"),
	}
	h.install(plugins)
	if err := os.Mkdir(h.tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	argv, err := servers.Command(release.Host())
	if err != nil {
		t.Fatal(err)
	}
	h.launch(append(append(argv, "server", "--plugin-dir="+h.plugins), serverFlags...))
	t.Cleanup(h.mustEndClean)
	return h
}

func (h *host) install(plugins []string) {
	h.t.Helper()
	built, err := build()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.Mkdir(h.plugins, 0o700); err != nil {
		h.t.Fatal(err)
	}
	for _, name := range plugins {
		if err := os.Link(filepath.Join(built, name), filepath.Join(h.plugins, name)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// launch starts the process with one end of a socket pair and calls it through
// the other.
func (h *host) launch(argv []string) {
	h.t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	near, far := os.NewFile(uintptr(ends[0]), "client"), os.NewFile(uintptr(ends[1]), "host")
	defer near.Close()
	defer far.Close()
	log, err := os.Create(h.log)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	h.process = exec.Command(argv[0], argv[1:]...)
	h.process.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.tmp, "TMPDIR=" + h.tmp, "AWS_EC2_METADATA_DISABLED=true"}
	h.process.Stdout, h.process.Stderr = log, log
	h.process.ExtraFiles = []*os.File{far}
	if err := h.process.Start(); err != nil {
		h.t.Fatal(err)
	}
	connection, err := net.FileConn(near)
	if err != nil {
		h.t.Fatal(err)
	}
	h.client = jsonrpc.NewClient(connection)
}

// callTimeout bounds a call: one that hangs must not stop the run.
const callTimeout = time.Minute

func (h *host) request(method string, argument, reply any) error {
	call := h.client.Go("Host."+method, argument, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		return call.Error
	case <-time.After(callTimeout):
		return fmt.Errorf("no answer within %s", callTimeout)
	}
}

// discover returns the names of the plugins by kind.
func (h *host) discover() (map[string][]string, error) {
	var names map[string][]string
	return names, h.request("Discover", struct{}{}, &names)
}

func (h *host) mustDiscover() map[string][]string {
	h.t.Helper()
	names, err := h.discover()
	if err != nil {
		h.t.Fatalf("discovery: %v", err)
	}
	return names
}

// endTask ends the plugin processes in order.
func (h *host) endTask() {
	h.t.Helper()
	if err := h.request("EndTask", struct{}{}, &struct{}{}); err != nil {
		h.t.Errorf("the end of the task: %v", err)
	}
}

// plugin is one of a host's plugins.
type plugin struct {
	host       *host
	kind, name string
}

func (h *host) plugin(kind, name string) plugin { return plugin{h, kind, name} }

// call calls a method and decodes what it returns, but for the error, into
// results, of which nil ones are skipped.
func (p plugin) call(method string, args []any, results ...any) error {
	encoded := []json.RawMessage{}
	for _, arg := range args {
		text, err := json.Marshal(arg)
		if err != nil {
			return err
		}
		encoded = append(encoded, text)
	}
	var returned []json.RawMessage
	err := p.host.request("Call", map[string]any{"Kind": p.kind, "Name": p.name, "Method": method, "Args": encoded}, &returned)
	if err != nil {
		return err
	}
	if len(returned) != len(results) {
		return fmt.Errorf("%d results, not %d", len(returned), len(results))
	}
	for i, result := range results {
		if result == nil {
			continue
		}
		if err := json.Unmarshal(returned[i], result); err != nil {
			return err
		}
	}
	return nil
}

func (p plugin) mustCall(method string, args []any, results ...any) {
	p.host.t.Helper()
	if err := p.call(method, args, results...); err != nil {
		p.host.t.Fatalf("%s %s: %s: %v", p.kind, p.name, method, err)
	}
}

// mustFail calls a method and expects an error that has all the texts.
func (p plugin) mustFail(method string, args []any, texts ...string) {
	p.host.t.Helper()
	err := p.call(method, args)
	if err == nil {
		p.host.t.Fatalf("%s %s: %s does not fail", p.kind, p.name, method)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			p.host.t.Errorf("%s %s: %s: %q does not say %q", p.kind, p.name, method, err, text)
		}
	}
}

// processes are the running plugin processes.
func (h *host) processes() []int {
	h.t.Helper()
	pids, err := stack.ProcessesUnder(h.plugins)
	if err != nil {
		h.t.Fatal(err)
	}
	return pids
}

// kill kills the plugin processes and waits until they are gone.
func (h *host) kill() {
	h.t.Helper()
	for _, pid := range h.processes() {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			h.t.Fatal(err)
		}
	}
	h.mustHaveNoProcess()
}

func (h *host) mustHaveNoProcess() {
	h.t.Helper()
	h.await(func() error {
		if pids := h.processes(); len(pids) > 0 {
			return fmt.Errorf("plugin processes %v are left", pids)
		}
		return nil
	})
}

// await repeats a check until it succeeds, but not for ever.
func (h *host) await(check func() error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // the test's own is over in a cleanup
	defer cancel()
	if err := stack.Await(ctx, check); err != nil {
		h.t.Error(err)
	}
}

// mustEndClean ends the host and checks that nothing is left of its plugins,
// and that the host found nothing to complain about.
func (h *host) mustEndClean() {
	h.endTask()
	_ = h.client.Close()
	if err := h.process.Wait(); err != nil {
		h.t.Errorf("host: %v", err)
	}
	h.mustHaveNoProcess()
	left, err := os.ReadDir(h.tmp)
	if err != nil {
		h.t.Error(err)
	}
	for _, file := range left {
		h.t.Errorf("%s is left in the folder of temporary files", file.Name())
	}
	h.mustHaveCleanLog()
}

// mustHaveCleanLog accepts no error line but those that the test provoked and
// those about the host itself, which lists its own plugins, of which it has
// none, with Velero's framework.
func (h *host) mustHaveCleanLog() {
	file, err := os.Open(h.log)
	if err != nil {
		h.t.Error(err)
		return
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct{ Level, Msg, Cmd string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			h.t.Errorf("not a log line: %s", lines.Text())
			continue
		}
		switch line.Level {
		case "warning", "error", "fatal", "panic":
			if line.Cmd != h.process.Path && line.Msg != h.provoked {
				h.t.Error(lines.Text())
			}
		}
	}
	if err := lines.Err(); err != nil {
		h.t.Error(err)
	}
}
