package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

// limits are those of cmd/confine.
type limits struct {
	Empty, Full []string
	ReadOnly    bool
	Files       uint64
}

// confined starts a plugin with less than it would like to have, in a mount
// namespace of its own.
func confined(t testing.TB, l host.Launch, less limits) host.Launch {
	t.Helper()
	if servers.Isolation() == "loopback" && os.Geteuid() != 0 {
		t.Skip("without namespaces nobody but root can mount: full disks, read-only roots and missing certificates are not tested")
	}
	text, err := json.Marshal(less)
	if err != nil {
		t.Fatal(err)
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatalf("what a plugin does on a full disk, a read-only root and without certificates is not tested: %v", err)
	}
	l.Args = append([]string{"--mount", confine(t), string(text), l.Path}, l.Args...)
	l.Path = unshare
	return l
}

// A plugin in a poor container stores and returns its objects as in a rich one,
// also several at a time.
func TestPoorContainers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		less func(temp string) limits
		env  []string
		tls  bool
	}{
		"full disk":           {less: func(temp string) limits { return limits{Full: []string{temp}} }},
		"read-only root":      {less: func(string) limits { return limits{ReadOnly: true} }},
		"no temporary folder": {env: []string{"TMPDIR=/nonexistent"}},
		"no environment":      {env: []string{"PATH=", "HOME=", "TMPDIR="}},
		"no certificates": {
			less: func(string) limits { return limits{Empty: certificateFolders()} }, tls: true,
		},
		"64 open files":    {less: func(string) limits { return limits{Files: 64} }},
		"24 open files":    {less: func(string) limits { return limits{Files: 24} }},
		"memory for a few": {env: []string{"GOMEMLIMIT=24MiB"}},
		"one thread":       {env: []string{"GOMAXPROCS=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			if c.tls {
				m := servers.MinIO(t)
				b.config["s3Url"], b.config["caCert"] = m.TLSEndpoint, string(m.CAPEM)
				client, err := m.Client(m.TLSEndpoint)
				if err != nil {
					t.Fatal(err)
				}
				b.client = client
			}
			l := launch(t, awsPlugin(t))
			l.Env = append(l.Env, c.env...)
			if c.less != nil {
				l = confined(t, l, c.less(temporary(l)))
			}
			s := b.open(start(t, l))
			b.works(s)
			var group sync.WaitGroup
			for i := range 6 {
				group.Go(func() {
					key, body := fmt.Sprint("parallel-", i), host.Body{Seed: uint64(i), Size: 12 << 20}
					if err := s.Put(t.Context(), key, body.Reader()); err != nil {
						t.Errorf("put: %v", err)
						return
					}
					if err := fetch(t.Context(), s, key, body); err != nil {
						t.Errorf("get: %v", err)
					}
				})
			}
			group.Wait()
			if keys, err := s.List(t.Context(), ""); err != nil || len(keys) < 7 {
				t.Errorf("list: %q, %v", keys, err)
			}
		})
	}
}

func temporary(l host.Launch) string {
	for _, entry := range l.Env {
		if dir, ok := strings.CutPrefix(entry, "TMPDIR="); ok {
			return dir
		}
	}
	return ""
}

// certificateFolders are where systems keep the certificates that they trust.
func certificateFolders() []string {
	var found []string
	for _, dir := range []string{"/etc/ssl", "/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			found = append(found, dir)
		}
	}
	return found
}

// A plugin that a host wants a socket file from says what is wrong when there can
// be none.
func TestNoPlaceForASocket(t *testing.T) {
	t.Parallel()
	l := launch(t, heldPlugin(t))
	full := temporary(l)
	l.Env = append(l.Env, "PLUGIN_UNIX_SOCKET_DIR="+full)
	_, err := host.Start(confined(t, l, limits{Full: []string{full}}))
	if err == nil || !strings.Contains(err.Error(), full) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}
