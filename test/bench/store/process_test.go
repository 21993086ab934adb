package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestProcessFigures(t *testing.T) {
	self := pluginProcess(os.Getpid())
	resident, err := self.resident()
	if err != nil {
		t.Fatal(err)
	}
	peak, err := self.peak()
	if err != nil {
		t.Fatal(err)
	}
	if resident < 1<<20 || peak < 1<<20 {
		t.Errorf("resident %d, peak %d bytes: less than any Go program", resident, peak)
	}

	before, err := self.cpu()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for time.Since(begin) < 20*time.Millisecond {
	}
	after, err := self.cpu()
	if err != nil {
		t.Fatal(err)
	}
	if after <= before {
		t.Errorf("CPU time went from %v to %v in a busy loop", before, after)
	}
}

func TestChildRunning(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := childRunning(sleep); err == nil {
		t.Errorf("found %d before it was started", pid)
	}
	child := exec.Command(sleep, "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid, err := childRunning(sleep)
	child.Process.Kill()
	child.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if int(pid) != child.Process.Pid {
		t.Errorf("found %d, started %d", pid, child.Process.Pid)
	}
	if _, err := pid.resident(); err == nil {
		t.Error("an ended process has a resident size")
	}
}
