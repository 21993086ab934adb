package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// startTimeout bounds the start of one group of servers. They take seconds;
// a machine that is busy building takes longer.
const startTimeout = 2 * time.Minute

// Stack is a set of servers. Its zero value is ready for Main or Enter, one of
// which must come first. Methods are safe for concurrent use.
type Stack struct {
	// VeleroOptions is what Velero is started with for the tests of a package.
	VeleroOptions VeleroOptions

	stage stage

	mu         sync.Mutex
	servers    []*server
	ports      int // how many of stage.Ports are taken
	planes     int // how many control planes were started
	registries int // how many registries were started

	minio        shared[*MinIO]
	versitygw    shared[*VersityGW]
	rclone       shared[*S3Server]
	azurite      shared[*Azurite]
	registry     shared[*Registry]
	controlPlane shared[*ControlPlane]
	node         shared[*Node]
	velero       shared[*Velero]
}

// Main is the body of a TestMain: it provides the tools, enters the namespace,
// runs the tests there and stops the servers. It does not return. What it
// builds is not counted against the test timeout of the go command by much:
// build the tools beforehand where that matters.
func (s *Stack) Main(m *testing.M, needs ...tools.Tool) {
	s.Enter(Entry{Needs: needs})
	code := m.Run()
	s.Close()
	os.Exit(code)
}

// Isolation tells how the stack is kept apart from the machine: "namespaces",
// "user namespace" or "loopback".
func (s *Stack) Isolation() string { return string(s.stage.Isolation) }

// Dir is the folder of this run. It goes away with the run unless Keep is
// called.
func (s *Stack) Dir() string { return s.stage.Dir }

// Keep makes the run's folder, with logs and data, outlast it.
func (s *Stack) Keep() error {
	return os.WriteFile(filepath.Join(s.stage.Dir, keepFile), nil, 0o600)
}

// Close stops all servers, the last one first.
func (s *Stack) Close() {
	s.mu.Lock()
	servers := s.servers
	s.servers = nil
	s.mu.Unlock()
	for i := len(servers) - 1; i >= 0; i-- {
		servers[i].stop()
	}
}

// folder makes a folder below the run's.
func (s *Stack) folder(elem ...string) (string, error) {
	if s.stage.Name != stageInside {
		return "", fmt.Errorf("the stack is not entered: call Main in TestMain, or Enter")
	}
	dir := filepath.Join(append([]string{s.stage.Dir}, elem...)...)
	return dir, os.MkdirAll(dir, 0o700)
}

// shared starts something once, for the first of many tests.
type shared[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (s *shared[T]) get(t testing.TB, start func(context.Context) (T, error)) T {
	t.Helper()
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		s.value, s.err = start(ctx)
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.value
}
