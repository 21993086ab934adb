package stack

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// ready is what the init of a run answers when its namespaces are set up.
const ready = "ready"

// runInit is the first process in the new namespaces. It sets them up, starts
// the program proper and reaps whatever is orphaned, as an init must; the
// kernel kills everything in the namespaces when it ends.
func runInit(here stage) int {
	answer := os.NewFile(3, "answer")
	unix.CloseOnExec(3)
	err := setUpNamespaces()
	if err != nil {
		fmt.Fprint(answer, err)
		return 1
	}
	here.Name = stageInside
	cmd, err := stageCommand(here)
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprint(answer, err)
		return 1
	}
	fmt.Fprint(answer, ready)
	_ = answer.Close()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	go func() {
		for sig := range signals {
			_ = unix.Kill(cmd.Process.Pid, sig.(syscall.Signal))
		}
	}()
	return reap(cmd.Process.Pid)
}

// reap collects ended children until the one with the given pid is among them
// and returns its exit code.
func reap(main int) int {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "stack: wait for children:", err)
			return 1
		case pid == main && status.Signaled():
			return 128 + int(status.Signal())
		case pid == main && status.Exited():
			return status.ExitStatus()
		}
	}
}

func setUpNamespaces() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// Releases of Velero before 1.18 keep the credentials of locations in this
	// folder, whatever TMPDIR says: those of runs at the same time would mix.
	if err := mountMemory("/tmp/credentials"); err != nil {
		return fmt.Errorf("mount memory on Velero's credentials: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring up the loopback interface: %w", err)
	}
	return nil
}

func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}
