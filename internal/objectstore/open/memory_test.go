package open_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Neither how many objects are on their way nor what the location says of parts
// shows in memory.
func TestMemoryOfManyUploads(t *testing.T) {
	const (
		uploads = 16
		size    = 20 * mib
		allowed = 48*mib + 42*mib // buffers, and what connections and the race detector need
	)
	s := newScene(t, overTLS)
	s.config["multipartPartSizeMiB"] = "16" // of which 24 would be in use
	b := s.mustOpen()
	if err := b.Put(t.Context(), "first", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	before, peak, stop := resident(t), int64(0), make(chan struct{})
	var watch, work sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				peak = max(peak, resident(t))
			}
		}
	})
	start := time.Now()
	for n := range uploads {
		work.Go(func() {
			body := io.LimitReader(rand.NewChaCha8([32]byte{byte(n)}), size)
			if err := b.Put(t.Context(), fmt.Sprint("blob", n), body); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	close(stop)
	watch.Wait()
	t.Logf("%d uploads of %d MiB took %v and %d MiB of memory", uploads, size/mib, time.Since(start), (peak-before)/mib)
	if peak-before > allowed {
		t.Errorf("%d MiB of memory, allowed are %d", (peak-before)/mib, allowed/mib)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if freed := peak - resident(t); freed < 40*mib {
		t.Errorf("%d MiB are freed at the end", freed/mib)
	}
}

// resident returns the memory of this process that is not of a file, in bytes.
func resident(t *testing.T) int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Error(err)
		return 0
	}
	defer f.Close()
	var kib int64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "RssAnon: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Error("no RssAnon in /proc/self/status")
	return 0
}
