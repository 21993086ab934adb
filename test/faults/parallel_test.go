package faults

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

// 64 calls at a time of every kind, with a plugin that the race detector watches.
func TestParallelCallsUnderTheRaceDetector(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("without a C compiler there is no race detector: 64 parallel calls are not checked for data races")
	}
	const calls = 64
	b := newBucket(t)
	s := b.open(start(t, launch(t, racingAWS(t), "GORACE=halt_on_error=1")))
	actions := start(t, launch(t, racingHeldPlugin(t), "GORACE=halt_on_error=1"))
	all := everyCall(actions)
	var group sync.WaitGroup
	for i := range calls {
		group.Go(func() {
			key, body := fmt.Sprintf("race/%02d", i%48), host.Body{Seed: uint64(i % 48), Size: int64(1+i%7) << 20}
			err := within(t, 2*time.Minute, key, func() error {
				switch i % 8 {
				case 5:
					return s.Init(t.Context(), b.config)
				case 6:
					_, err := s.List(t.Context(), "")
					return err
				case 7:
					_, err := s.SignedURL(t.Context(), key, time.Minute)
					return err
				}
				if err := s.Put(t.Context(), key, body.Reader()); err != nil || i >= 48 {
					return err // another call may have written the same key meanwhile
				}
				_, err := s.Exists(t.Context(), key)
				return err
			})
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			}
			for n := range all {
				if err := all[(i+n)%len(all)].do(t.Context()); err != nil {
					t.Errorf("%s: %v", all[(i+n)%len(all)].name, err)
				}
			}
		})
	}
	group.Wait()
	for _, p := range []*host.Plugin{s.Plugin, actions} {
		if text := p.Stderr(); strings.Contains(text, "DATA RACE") {
			t.Errorf("a data race:\n%s", text)
		}
	}
}

var (
	racingAWS        = program("race/velero-plugin-for-aws", "./plugins/aws", "-race")
	racingHeldPlugin = program("race/heldplugin", "./test/faults/cmd/heldplugin", "-race")
)
