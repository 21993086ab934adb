package stack_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// helperEnv makes the test binary a program with a stack that waits to be
// killed. Its value says which servers that has.
const helperEnv = "STACK_TEST_HELPER"

const (
	helperWithMinIO = "minio"
	helperWithNode  = "node"
)

func helper(kind string) {
	var s stack.Stack
	var err error
	switch kind {
	case helperWithNode:
		s.Enter(stack.Entry{Needs: append(tools.Node(), tools.ControlPlane)})
		err = runPod(context.Background(), &s)
	default:
		s.Enter(stack.Entry{Needs: []tools.Tool{tools.MinIO}})
		err = runMinIOAndOrphan(context.Background(), &s)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("run", s.Dir())
	select {}
}

// runMinIOAndOrphan leaves a process in a session of its own, as a plugin is
// whose Velero was killed.
func runMinIOAndOrphan(ctx context.Context, s *stack.Stack) error {
	if _, err := s.StartMinIO(ctx, stack.MinIOOptions{TLSOnly: true}); err != nil {
		return err
	}
	return exec.Command("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 &").Run()
}

func TestKilledRunLeavesNoProcess(t *testing.T) {
	for _, c := range []struct {
		name string
		kill func(t *testing.T, h runningHelper)
		// outerDies: the outer program gets no chance to clean up.
		outerDies bool
	}{
		{"kill -9 of the outer program", func(t *testing.T, h runningHelper) { kill(t, h.outer(t), unix.SIGKILL) }, true},
		{"kill -9 of its parent", func(t *testing.T, h runningHelper) { kill(t, h.parent, unix.SIGKILL) }, true},
		{"kill -9 of the inner program", func(t *testing.T, h runningHelper) { kill(t, h.inner(t), unix.SIGKILL) }, false},
		{"interrupt from the terminal", func(t *testing.T, h runningHelper) { kill(t, -h.parent, unix.SIGINT) }, false},
		{"SIGTERM", func(t *testing.T, h runningHelper) { kill(t, h.outer(t), unix.SIGTERM) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := startHelper(t, helperWithMinIO)
			if n := len(h.processes(t)); n < 3 {
				t.Fatalf("only %d processes run: the test would prove nothing", n)
			}
			c.kill(t, h)
			if c.outerDies && servers.Isolation() == "loopback" {
				// Without a namespace an orphan lasts until the next run.
				eventually(t, func() error { return gone(h.processes(t), "minio") })
				startHelper(t, helperWithMinIO)
			}
			eventually(t, func() error { return gone(h.processes(t), "") })
			if c.outerDies {
				startHelper(t, helperWithMinIO)
			}
			eventually(t, func() error {
				if _, err := os.Stat(h.dir); err == nil {
					return fmt.Errorf("left: %s", h.dir)
				}
				return nil
			})
		})
	}
}

// gone is an error while a process is left that has part in its command line.
func gone(left map[int]string, part string) error {
	for _, command := range left {
		if strings.Contains(command, part) {
			return fmt.Errorf("left: %v", left)
		}
	}
	return nil
}

type runningHelper struct {
	parent int // a shell that stands for the go command
	dir    string
}

func startHelper(t *testing.T, kind string) runningHelper {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The trailing command keeps the shell from replacing itself.
	cmd := exec.Command("sh", "-c", self+"; true")
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OADP_STACK_STAGE=") && !strings.HasPrefix(entry, "OADP_STACK_RUN=") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, helperEnv+"="+kind)
	if servers.Isolation() == "loopback" {
		cmd.Env = append(cmd.Env, stack.NamespaceEnv+"=off")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	dir, ok := strings.CutPrefix(strings.TrimSpace(line), "run ")
	if err != nil || !ok {
		t.Fatalf("helper: %q %v", line, err)
	}
	h := runningHelper{parent: cmd.Process.Pid, dir: dir}
	t.Cleanup(func() {
		for pid := range h.processes(t) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		_ = os.RemoveAll(dir)
	})
	return h
}

// processes returns those that carry the mark of the helper's run, by id.
func (h runningHelper) processes(t *testing.T) map[int]string {
	found := map[int]string{}
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		environment, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environment, []byte("OADP_STACK_RUN="+h.dir)) {
			continue
		}
		command, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || len(command) == 0 { // ended in between
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		found[pid] = strings.ReplaceAll(string(command), "\x00", " ")
	}
	return found
}

// outer is the program that was started by hand: the shell's only child.
func (h runningHelper) outer(t *testing.T) int { return onlyChild(t, h.parent) }

// inner is the program in the namespace: the last of the chain.
func (h runningHelper) inner(t *testing.T) int {
	pid := onlyChild(t, h.outer(t))
	if servers.Isolation() != "loopback" {
		children := childrenOf(t, pid) // of the init, which has adopted the orphan as well
		pid = children[0]
	}
	return pid
}

func onlyChild(t *testing.T, pid int) int {
	children := childrenOf(t, pid)
	if len(children) != 1 {
		t.Fatalf("process %d has children %v", pid, children)
	}
	return children[0]
}

func childrenOf(t *testing.T, pid int) []int {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var children []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			children = append(children, child)
		}
	}
	if len(children) == 0 {
		t.Fatalf("process %d has no children", pid)
	}
	return children
}

func kill(t *testing.T, pid int, signal unix.Signal) {
	if err := unix.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
