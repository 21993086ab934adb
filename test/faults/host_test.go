package faults

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

// startHost starts a host in a process of its own, with a plugin below it.
func startHost(t testing.TB, job host.Job) *host.HostProcess {
	t.Helper()
	d, err := host.StartHostProcess(hostProgram(t), job)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func (b *bucket) job(t testing.TB, do, key string, body host.Body, env ...string) host.Job {
	return host.Job{
		Launch: launch(t, awsPlugin(t), env...), Store: awsStore, Config: b.config, Bucket: b.name,
		Key: key, Body: body, Do: do,
	}
}

// The host is killed in the middle of a call: the plugin ends by itself, aborts
// its upload, and leaves nothing behind. It logs all that it can, to a pipe that
// nobody holds any more.
func TestHostKilled(t *testing.T) {
	t.Parallel()
	small, large := host.Body{Seed: 1, Size: 100_000}, host.Body{Seed: 2, Size: 64 << 20}
	for _, c := range []struct {
		name, do string
		body     host.Body
	}{
		{"put of one part", "put", small},
		{"put of several parts", "put", large},
		{"get", "get", large},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			if c.do == "get" {
				b.add("fresh", c.body)
			}
			d := startHost(t, b.job(t, c.do, "fresh", c.body))
			if err := d.Middle(); err != nil {
				t.Fatal(err)
			}
			if c.do == "put" && c.body == large {
				eventually(t, "the beginning of the upload", func() bool { return b.uploads("fresh") == 1 })
			}
			orphaned(t, d)
			if c.do == "get" {
				return
			}
			b.lacks("fresh")
			if n := b.uploads("fresh"); n > 0 {
				t.Errorf("%d uploads were not aborted", n)
			}
		})
	}
	t.Run("list", func(t *testing.T) {
		t.Parallel()
		b := newBucket(t)
		g := b.hold(s3proxy.Operations("ListObjectsV2"))
		d := startHost(t, b.job(t, "list", "", host.Body{}))
		<-g.come
		orphaned(t, d)
		close(g.free)
	})
	for _, command := range []string{"", "hang"} {
		t.Run("item action "+command, func(t *testing.T) {
			t.Parallel()
			control := newController(t)
			d := startHost(t, host.Job{Launch: control.launch(), Store: heldStore, Do: "execute"})
			if at := control.next(); command != "" {
				at.tell(t, "%s", command)
			}
			orphaned(t, d)
		})
	}
}

// Whoever has something to clean up when the host is gone can log about it,
// though nobody holds the other end of the pipe.
func TestLogOfAnOrphan(t *testing.T) {
	t.Parallel()
	control := newController(t)
	d := startHost(t, host.Job{Launch: control.launch(), Store: heldStore, Do: "execute"})
	control.next().tell(t, "awaitEnd")
	control.next() // "waiting"
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	control.next() // "ended"
	if err := d.Plugin.Ended(promptly); err != nil {
		t.Error(err)
	}
}

// orphaned kills the host and waits for the end of its plugin.
func orphaned(t *testing.T, d *host.HostProcess) {
	t.Helper()
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Plugin.Ended(promptly); err != nil {
		t.Error(err)
	}
}

// A store that is slow to abort an upload gets the time for it: nobody is about
// to kill a plugin whose host is gone.
func TestHostKilledAtASlowStore(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	aborted := make(chan struct{})
	b.proxy.Inject(1, s3proxy.Operations("AbortMultipartUpload"), func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		time.Sleep(3 * time.Second)
		service.ServeHTTP(w, r)
		close(aborted)
	})
	d := startHost(t, b.job(t, "put", "fresh", host.Body{Seed: 1, Size: 64 << 20}))
	if err := d.Middle(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the beginning of the upload", func() bool { return b.uploads("fresh") == 1 })
	orphaned(t, d)
	select {
	case <-aborted:
	case <-time.After(promptly):
		t.Error("the plugin did not wait for the end of its request to abort")
	}
	b.lacks("fresh")
	if n := b.uploads("fresh"); n > 0 {
		t.Errorf("%d uploads were not aborted", n)
	}
}

// A process that stands still for a while, as on a machine that is overloaded or
// moved, goes on where it stood.
func TestStoppedInTheMiddle(t *testing.T) {
	t.Parallel()
	body := host.Body{Seed: 5, Size: 48 << 20}
	for _, do := range []string{"put", "get"} {
		for _, who := range []string{"host", "plugin"} {
			t.Run(who+" in a "+do, func(t *testing.T) {
				t.Parallel()
				b := newBucket(t)
				if do == "get" {
					b.add("object", body)
				}
				d := startHost(t, b.job(t, do, "object", body))
				if err := d.Middle(); err != nil {
					t.Fatal(err)
				}
				stopped := d.Plugin
				if who == "host" {
					stopped = d.Process
				}
				if err := stopped.Pause(); err != nil {
					t.Fatal(err)
				}
				// Whatever can still move comes to its end or to its limits.
				if err := d.GoOn(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if err := stopped.Continue(); err != nil {
					t.Fatal(err)
				}
				if err := within(t, time.Minute, do, d.Done); err != nil {
					t.Error(err)
				}
				if do == "put" {
					b.holds("object", body)
				}
			})
		}
	}
}

// A host that stands still for longer than the plugin's limit: the plugin frees
// what the download holds, and the host gets an error when it goes on.
func TestHostStoppedForTooLong(t *testing.T) {
	t.Parallel()
	control := newController(t)
	l := control.launch()
	l.Env = append(l.Env, "OADP_PLUGIN_STALL_TIMEOUT=1s")
	d := startHost(t, host.Job{Launch: l, Store: heldStore, Do: "get", Key: "endless", Body: host.Body{Size: 64 << 20}})
	if at := control.next(); at.method == "ObjectStore.GetObject" {
		at.tell(t, "go")
	}
	if err := d.Middle(); err != nil {
		t.Fatal(err)
	}
	if err := d.Pause(); err != nil {
		t.Fatal(err)
	}
	if at := control.next(); at.method != "ObjectStore.Close" {
		t.Errorf("the plugin is in %s", at.method)
	} else {
		at.tell(t, "go")
	}
	if err := errors.Join(d.GoOn(), d.Continue()); err != nil {
		t.Fatal(err)
	}
	err := within(t, promptly, "the rest of the get", d.Done)
	if err == nil || !strings.Contains(err.Error(), "DeadlineExceeded") {
		t.Errorf("the host got %v, want DeadlineExceeded", err)
	}
}
