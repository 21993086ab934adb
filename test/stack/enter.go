package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// NamespaceEnv set to "off" keeps the stack in the network of the machine.
const NamespaceEnv = "OADP_STACK_NAMESPACE"

// stageEnv tells a process that Enter started what it is to do.
const stageEnv = "OADP_STACK_STAGE"

// isolation is how far a run is kept apart from the machine.
type isolation string

const (
	// privileged: network, process and mount namespaces, made by root.
	privileged isolation = "namespaces"
	// unprivileged: the same in a user namespace, made by anybody.
	unprivileged isolation = "user namespace"
	// loopback: the machine's own loopback interface.
	loopback isolation = "loopback"
)

// stage is handed from one process of a run to the next.
type stage struct {
	Name      string // init or inside
	Isolation isolation
	Dir       string
	Commands  tools.Commands
	Ports     []int
}

const (
	stageInit   = "init"
	stageInside = "inside"
)

// Entry is what a program enters the stack with.
type Entry struct {
	// Needs are the tools to provide.
	Needs []tools.Tool
	// Detached lets the run outlive the process that started the program. Its
	// folder is DetachedDir, so there is one for each user.
	Detached bool
	// Published is the number of servers, the first ones that clients are meant
	// for, that can be reached from outside the namespace as well, at the same
	// addresses.
	Published int
}

// Enter makes s usable: it provides the tools and runs the program again in
// namespaces of its own. In the program that was started by hand it does not
// return: it waits for the inner one and exits with its code. When the outer
// program dies, by whatever signal, the kernel ends everything inside.
func (s *Stack) Enter(entry Entry) {
	here, err := currentStage()
	if err != nil {
		fatal(err)
	}
	switch here.Name {
	case stageInit:
		os.Exit(runInit(here))
	case stageInside:
		if err := answerForwards(here); err != nil {
			fatal(err)
		}
		s.stage = here
	default:
		os.Exit(runOutside(entry))
	}
}

func currentStage() (stage, error) {
	var here stage
	text := os.Getenv(stageEnv)
	if text == "" {
		return here, nil
	}
	if err := json.Unmarshal([]byte(text), &here); err != nil {
		return here, fmt.Errorf("%s is set by the stack itself and must not be set by hand: %w", stageEnv, err)
	}
	return here, nil
}

// runOutside starts the inner program and returns its exit code.
func runOutside(entry Entry) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer cancel()

	if !entry.Detached {
		if err := dieWithParent(); err != nil {
			fatal(err)
		}
	}
	commands, err := tools.Ensure(ctx, os.Stderr, entry.Needs...)
	if err != nil {
		fatal(err)
	}
	run, err := newRun(entry)
	if err != nil {
		fatal(err)
	}
	defer run.remove()
	inner, err := startIsolated(run, stage{Dir: run.dir, Commands: commands}, entry.Published)
	if err != nil {
		run.remove()
		fatal(err)
	}
	go func() {
		for sig := range signals {
			_ = inner.Process.Signal(sig)
		}
	}()
	return exitCode(inner.Wait())
}

// startIsolated starts this program in the strongest isolation that the
// machine allows.
func startIsolated(run run, next stage, published int) (*exec.Cmd, error) {
	forwards, err := openForwards(published)
	if err != nil {
		return nil, err
	}
	next.Ports = forwards.ports
	var refusals []string
	if os.Getenv(NamespaceEnv) == "off" {
		refusals = []string{NamespaceEnv + "=off"}
	}
	for _, level := range isolationLevels() {
		next.Isolation = level
		next.Name = stageInit
		if level == loopback {
			// The servers bind these ports themselves.
			forwards.close()
			next.Name = stageInside
			fmt.Fprintf(os.Stderr, "stack: on the machine's own loopback interface (%s)\n", strings.Join(refusals, "; "))
		}
		cmd, err := startStage(next)
		if err == nil {
			forwards.serve(run.dir)
			return cmd, run.record(level, cmd.Process.Pid)
		}
		refusals = append(refusals, fmt.Sprintf("%s: %v", level, err))
	}
	return nil, errors.New(strings.Join(refusals, "; "))
}

func isolationLevels() []isolation {
	switch {
	case os.Getenv(NamespaceEnv) == "off":
		return []isolation{loopback}
	case os.Geteuid() == 0:
		return []isolation{privileged, unprivileged, loopback}
	default:
		return []isolation{unprivileged, loopback}
	}
}

// startStage starts this program for the next stage and, if that is to set up
// namespaces, waits until it has.
func startStage(next stage) (*exec.Cmd, error) {
	// Pdeathsig counts the death of the thread that forked.
	runtime.LockOSThread()
	cmd, err := stageCommand(next)
	if err != nil {
		return nil, err
	}
	if next.Name == stageInside {
		return cmd, cmd.Start()
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd.ExtraFiles = []*os.File{write} // descriptor 3 of the child
	err = cmd.Start()
	_ = write.Close()
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(read)
	if err == nil && string(answer) == ready {
		return cmd, nil
	}
	_ = cmd.Wait()
	return nil, fmt.Errorf("%s", answer)
}

func stageCommand(next stage) (*exec.Cmd, error) {
	text, err := json.Marshal(next)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Args = os.Args
	cmd.Env = append(hermetic(os.Environ()), stageEnv+"="+string(text), runEnv+"="+next.Dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if next.Name == stageInit {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS
	}
	if next.Isolation == unprivileged && next.Name == stageInit {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return cmd, nil
}

// hermetic drops from an environment what changes how code under test finds
// credentials, trusts certificates or reaches servers.
func hermetic(environment []string) []string {
	var kept []string
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		upper := strings.ToUpper(name)
		switch {
		case strings.HasPrefix(upper, "AWS_"), strings.HasPrefix(upper, "AZURE_"),
			strings.HasPrefix(upper, "GOOGLE_"), strings.HasPrefix(upper, "SSL_CERT_"),
			strings.HasSuffix(upper, "_CA_BUNDLE"), strings.HasSuffix(upper, "_PROXY"),
			upper == "KUBECONFIG", upper == stageEnv, upper == runEnv:
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}

// dieWithParent ends this process, and with it everything inside, when the
// process that started it dies: a killed `go test` or `make` would otherwise
// leave it running.
func dieWithParent() error {
	parent := os.Getppid()
	if parent <= 1 {
		return nil
	}
	process, err := os.FindProcess(parent)
	if err != nil {
		return nil // too old a kernel; the other nets remain
	}
	if os.Getppid() != parent {
		return errors.New("the parent process is gone")
	}
	go func() {
		_ = process.WithHandle(func(fd uintptr) {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			for {
				if n, err := unix.Poll(poll, -1); n > 0 || (err != nil && err != unix.EINTR) {
					_ = unix.Kill(os.Getpid(), unix.SIGKILL)
				}
			}
		})
	}()
	return nil
}

// exitCode turns the end of a child into an exit code as a shell does.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		fmt.Fprintln(os.Stderr, "stack:", err)
		return 1
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "stack:", err)
	os.Exit(1)
}
