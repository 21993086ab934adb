package images

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

var layerSize = flag.Int64("layer", 256<<20, "size of the layer of TestLargeLayer, in bytes")

// TestLargeLayer copies a large layer there and back. The memory that the plugin
// takes does not depend on it.
func TestLargeLayer(t *testing.T) {
	const mostMemory = 100 << 20
	ctx, w := newContext(t), theWorld(t)
	location := w.location("large", w.store.NewBucket(t))
	w.newLocation(ctx, t, location)
	a := newApp(ctx, t, w.one, "large", 9000, 1, *layerSize)
	peak := watchMemory(t, w.velero.PluginDir, "velero-plugins")
	backup(ctx, t, w.velero, "large", location.Name, a.namespace)
	must(t, w.one.loseImages(ctx))
	restore(ctx, t, w.velero, "large", "large", map[string]any{"large": "large-back"})
	if most := peak(); most == 0 || most > mostMemory {
		t.Errorf("the plugin took %d MiB, want up to %d", most>>20, mostMemory>>20)
	}
	a.mustBeBack(ctx, t, w.one, "large-back")
}

// watchMemory looks at the processes of a plugin. It returns a function that ends
// this and returns the most memory that one of them has had, in bytes.
func watchMemory(t *testing.T, dir, plugin string) (peak func() int64) {
	ctx, stop := context.WithCancel(t.Context())
	most := make(chan int64, 1)
	go func() {
		var seen int64
		for ctx.Err() == nil {
			pids, err := stack.ProcessesUnder(dir)
			if err != nil {
				t.Error(err)
			}
			for _, pid := range pids {
				if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(exe) == plugin {
					usage, _ := host.Process{PID: pid}.Usage() // nothing, if it has ended
					seen = max(seen, usage.Peak)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		most <- seen
	}()
	return func() int64 { stop(); return <-most }
}
