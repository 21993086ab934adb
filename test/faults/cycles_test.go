package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

// A thousand processes are started and ended in all ways, four at a time. None
// of them, and nothing of them, is left.
func TestThousandCycles(t *testing.T) {
	const cycles, workers = 1000, 4
	l := launch(t, heldPlugin(t))
	job := host.Job{Launch: l}
	for i := range workers { // what the first start opens for good is no leak
		cycle(t, l, job, i)
	}
	before := openFiles(t)
	began := time.Now()
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < cycles; i += workers {
				cycle(t, l, job, i)
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	t.Logf("%d cycles in %v", cycles, took)
	if took > 30*time.Second {
		t.Errorf("%d cycles took %v", cycles, took)
	}
	eventually(t, "the end of all processes", func() bool { return len(running(t)) == 0 })
	if servers.Isolation() != "loopback" { // where others may run plugins
		eventually(t, "the end of all sockets", func() bool { return sockets(t) == 0 })
	}
	eventually(t, fmt.Sprintf("as many open files as the %d before", before), func() bool { return openFiles(t) <= before })
}

// cycle starts a plugin, makes a call, and ends it in one of the ways.
func cycle(t *testing.T, l host.Launch, job host.Job, i int) {
	t.Helper()
	if i%20 == 19 {
		d, err := host.StartHostProcess(hostProgram(t), job)
		if err != nil {
			t.Error(err)
			return
		}
		defer d.Close()
		if err := d.Kill(); err != nil {
			t.Error(err)
		}
		if err := d.Plugin.Ended(promptly); err != nil {
			t.Error(err)
		}
		return
	}
	p, err := host.Start(l)
	if err != nil {
		t.Error(err)
		return
	}
	defer p.Stop()
	if err := (host.Store{Plugin: p, Name: heldStore}).Init(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if signal := []syscall.Signal{0, syscall.SIGTERM, 0, syscall.SIGKILL}[i/4%4]; signal != 0 {
		if err := p.Signal(signal); err != nil {
			t.Error(err)
		}
		if err := p.Ended(promptly); err != nil {
			t.Error(err)
		}
	}
}

// running returns the processes of plugins and of their hosts.
func running(t testing.TB) []string {
	t.Helper()
	var found []string
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && strings.HasPrefix(program, binaries()) {
			found = append(found, link+" "+program)
		}
	}
	return found
}

func openFiles(t testing.TB) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
