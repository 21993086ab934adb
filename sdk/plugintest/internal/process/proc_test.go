package process

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// The number of a handle that is closed is given to the next file, which a second
// Close must leave open.
func TestHandleClosedTwice(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	h, err := Open(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	if err := file.Close(); err != nil {
		t.Errorf("the handle closed a file of somebody else: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait()
	if _, err := Open(child.Process.Pid); err == nil {
		t.Error("there is a handle on a process that has ended")
	}
}

func TestHandleSeesTheEnd(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	h, err := Open(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if ended, err := h.Ended(10 * time.Millisecond); ended || err != nil {
		t.Errorf("a process that runs: %t, %v", ended, err)
	}
	for range 2 {
		if err := h.Kill(); err != nil {
			t.Error(err)
		}
		_ = child.Wait()
		if ended, err := h.Ended(10 * time.Second); !ended || err != nil {
			t.Errorf("a process that has ended: %t, %v", ended, err)
		}
	}
}
