// Package faults breaks what surrounds a plugin and checks what becomes of it:
// processes are killed and stopped, pipes are not read, disks are full, networks
// break. Nothing may be lost that looks whole, nothing may hang, and nothing may
// be left behind.
package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

var servers stack.Stack

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait more than they work, so that more of them run at a time than
	// there are processors.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	servers.Main(m, tools.MinIO)
}

// The programs under test and their helpers.
var (
	awsPlugin   = program("velero-plugin-for-aws", "./plugins/aws")
	heldPlugin  = program("heldplugin", "./test/faults/cmd/heldplugin")
	hostProgram = program("host", "./test/faults/cmd/host")
	confine     = program("confine", "./test/faults/cmd/confine")
)

// program returns a function that builds a program once, and returns its path.
func program(name, source string, flags ...string) func(testing.TB) string {
	build := sync.OnceValues(func() (string, error) {
		path := filepath.Join(binaries(), name)
		args := append([]string{"build", "-tags", "grpcnotrace", "-o", path}, flags...)
		command := exec.Command("go", append(args, source)...)
		command.Dir = "../.."
		if out, err := command.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building %s: %w\n%s", source, err, out)
		}
		return path, nil
	})
	return func(t testing.TB) string {
		t.Helper()
		path, err := build()
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
}

// binaries is the folder of the programs.
func binaries() string { return filepath.Join(servers.Dir(), "bin") }

const (
	awsStore  = "velero.io/aws"
	heldStore = "example.io/held"

	// promptly is what must not last, on a busy machine.
	promptly = 20 * time.Second
)

// launch starts a program as it is started in a container: without a home and
// without credentials. Its temporary files would be in a folder of their own.
func launch(t testing.TB, path string, env ...string) host.Launch {
	t.Helper()
	temp := t.TempDir()
	t.Cleanup(func() { nothingIn(t, temp) })
	return host.Launch{
		Path: path,
		Args: []string{"--log-level=debug"},
		Env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "TMPDIR=" + temp,
			"AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=3"}, env...),
	}
}

func nothingIn(t testing.TB, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the plugin's temporary folder: %v, %v", left, err)
	}
}

// start starts a plugin and ends it with the test.
func start(t testing.TB, l host.Launch) *host.Plugin {
	t.Helper()
	p, err := host.Start(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("stderr of the plugin:\n%s", p.Stderr())
		}
	})
	return p
}

// bucket is a bucket behind a proxy, with a client that shares nothing with the
// plugin.
type bucket struct {
	t      testing.TB
	name   string
	proxy  *s3proxy.Proxy
	client *minio.Client
	config map[string]string
}

func newBucket(t testing.TB) *bucket {
	t.Helper()
	m := servers.MinIO(t)
	client, err := m.Client(m.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	b := &bucket{t: t, name: m.NewBucket(t), client: client, proxy: s3proxy.New(t, m.Endpoint, nil)}
	b.config = map[string]string{
		"bucket": b.name, "region": stack.Region, "s3Url": b.proxy.URL, "s3ForcePathStyle": "true",
		"credentialsFile": credentials(t, m),
	}
	return b
}

func credentials(t testing.TB, m *stack.MinIO) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = " + m.AccessKey + "\naws_secret_access_key = " + m.SecretKey + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open initialises the store of a plugin for the bucket.
func (b *bucket) open(p *host.Plugin) host.Store {
	b.t.Helper()
	s := host.Store{Plugin: p, Name: awsStore, Bucket: b.name}
	if err := s.Init(b.t.Context(), b.config); err != nil {
		b.t.Fatalf("Init: %v", err)
	}
	return s
}

// add writes an object past the plugin.
func (b *bucket) add(key string, body host.Body) {
	b.t.Helper()
	_, err := b.client.PutObject(b.t.Context(), b.name, key, body.Reader(), body.Size, minio.PutObjectOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
}

// holds fails unless the object is there and has that body.
func (b *bucket) holds(key string, body host.Body) {
	b.t.Helper()
	object, err := b.client.GetObject(b.t.Context(), b.name, key, minio.GetObjectOptions{})
	if err == nil {
		defer object.Close()
		err = body.Compare(object)
	}
	if err != nil {
		b.t.Errorf("object %s: %v", key, err)
	}
}

// lacks fails when the object is there.
func (b *bucket) lacks(key string) {
	b.t.Helper()
	if _, err := b.client.StatObject(b.t.Context(), b.name, key, minio.StatObjectOptions{}); minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		b.t.Errorf("object %s is visible: %v", key, err)
	}
}

// uploads returns the multipart uploads of a key that were neither completed nor
// aborted. MinIO lists those of a complete key only.
func (b *bucket) uploads(key string) int {
	n := 0
	for range b.client.ListIncompleteUploads(b.t.Context(), b.name, key, true) {
		n++
	}
	return n
}

// works fails unless a plugin stores and returns objects of one and of several
// parts.
func (b *bucket) works(s host.Store) {
	b.t.Helper()
	for _, size := range []int64{1000, 12 << 20} {
		body := host.Body{Seed: uint64(size), Size: size}
		if err := s.Put(b.t.Context(), "works", body.Reader()); err != nil {
			b.t.Fatalf("put of %d bytes: %v", size, err)
		}
		b.holds("works", body)
		if err := fetch(b.t.Context(), s, "works", body); err != nil {
			b.t.Fatalf("get of %d bytes: %v", size, err)
		}
	}
}

// fetch returns an error unless the plugin delivers that body.
func fetch(ctx context.Context, s host.Store, key string, body host.Body) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	object, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	return body.Compare(object)
}

// within returns what do returns, and fails the test when that takes longer than
// it may, with the stacks of all goroutines.
func within(t testing.TB, limit time.Duration, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		stacks := make([]byte, 1<<20)
		t.Fatalf("%s takes longer than %v\n%s", what, limit, stacks[:runtime.Stack(stacks, true)])
		return nil
	}
}

// eventually polls until met returns true.
func eventually(t testing.TB, what string, met func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), promptly)
	defer cancel()
	err := stack.Await(ctx, func() error {
		if met() {
			return nil
		}
		return errors.New("it did not come about")
	})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// sockets returns how many sockets of plugins are open in this network
// namespace.
func sockets(t testing.TB) int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(table), "@velero-plugin-")
}
