package plugintest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// beforeStart commits the faults of a process that show before it serves.
func beforeStart(fault string) {
	switch fault {
	case "prints before the handshake":
		fmt.Println("starting")
	case "succeeds without the cookie":
		if os.Getenv("VELERO_PLUGIN") == "" {
			os.Exit(0)
		}
	case "ends at a bad log level":
		if slices.Contains(os.Args, "chatty") {
			os.Exit(2)
		}
	case "lists another command":
		os.Args[0] = filepath.Base(os.Args[0]) + "-other"
	case "leaves a child":
		child := exec.Command("sleep", "60")
		child.Stderr = os.Stderr
		must(child.Start())
	case "leaves a file":
		f, err := os.CreateTemp("", "left")
		must(err)
		must(f.Close())
	case "logs plain text":
		fmt.Fprintln(os.Stderr, "hello")
	case "logs a number as message":
		fmt.Fprintln(os.Stderr, `{"@message":7,"@level":"info"}`)
	case "logs an error":
		fmt.Fprintln(os.Stderr, `{"@message":"all is well","@level":"error"}`)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// hostPipe returns the pipe that the process was started with as stdout.
func hostPipe(fault string) *os.File {
	if fault != "prints to the first stdout" {
		return nil
	}
	fd, err := syscall.Dup(1)
	must(err)
	return os.NewFile(uintptr(fd), "stdout")
}

// dieOnInterrupt ends the process at the signal that a terminal sends to all.
func dieOnInterrupt() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	go func() {
		<-signals
		os.Exit(1)
	}()
}

// faultyStore is a store with one fault.
type faultyStore struct {
	*dirStore
	fault string

	mu     sync.Mutex
	leaked []io.Closer
	hoard  []byte
}

func (s *faultyStore) Init(ctx context.Context, config map[string]string) error {
	switch s.fault {
	case "accepts unknown keys":
		s.config.Store(&dirConfig{config["root"], config["url"]})
		return nil
	case "forgets its configuration during Init":
		s.config.Store(nil)
		time.Sleep(time.Millisecond)
	case "locks its store":
		lock, err := os.OpenFile(filepath.Join(config["root"], "lock"), os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leaked = append(s.leaked, unlocker{lock})
	case "opens a file at each Init":
		s.leak()
	}
	return s.dirStore.Init(ctx, config)
}

// unlocker removes its file when it is closed.
type unlocker struct{ *os.File }

func (u unlocker) Close() error { return errors.Join(u.File.Close(), os.Remove(u.Name())) }

// Close ends the process's use of the store.
func (s *faultyStore) Close() error {
	if s.fault == "ends slowly" {
		time.Sleep(graceOfHost + time.Second)
	}
	var errs []error
	for _, c := range s.leaked {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (s *faultyStore) leak() {
	f, err := os.Open(os.DevNull)
	must(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaked = append(s.leaked, f)
}

func (s *faultyStore) PutObject(ctx context.Context, bucket, key string, body io.Reader) error {
	switch s.fault {
	case "writes in place":
		return s.writeInPlace(bucket, key, body, os.O_TRUNC)
	case "does not truncate":
		return s.writeInPlace(bucket, key, body, 0)
	case "stores what it has when a body breaks":
		return s.dirStore.PutObject(context.WithoutCancel(ctx), bucket, key, endless{body})
	case "shares one buffer":
		return s.shareBuffer(ctx, bucket, key, body)
	case "holds objects in memory":
		all, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hoard = all
		return s.dirStore.PutObject(ctx, bucket, key, bytes.NewReader(all))
	case "puts a temporary file beside itself":
		f, err := os.CreateTemp("", "part")
		must(err)
		_, err = io.Copy(f, body)
		if err != nil {
			return err
		}
		_, err = f.Seek(0, io.SeekStart)
		return errors.Join(err, s.dirStore.PutObject(ctx, bucket, key, f), os.Remove(f.Name()))
	case "stores in absent buckets":
		if c := s.config.Load(); c != nil {
			must(os.MkdirAll(filepath.Join(c.root, bucket), 0o700))
		}
	}
	return s.dirStore.PutObject(ctx, bucket, key, body)
}

// endless turns an error into an end.
type endless struct{ io.Reader }

func (r endless) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

func (s *faultyStore) writeInPlace(bucket, key string, body io.Reader, flags int) error {
	path, err := s.path(bucket, key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flags, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

func (s *faultyStore) shareBuffer(ctx context.Context, bucket, key string, body io.Reader) error {
	all, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.hoard = append(s.hoard[:0], all...)
	shared := s.hoard
	s.mu.Unlock()
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirStore.PutObject(ctx, bucket, key, bytes.NewReader(bytes.Clone(shared)))
}

func (s *faultyStore) ObjectExists(ctx context.Context, bucket, key string) (bool, error) {
	exists, err := s.dirStore.ObjectExists(ctx, bucket, key)
	if s.fault == "reports errors as absence" {
		err = nil
	}
	return exists, err
}

func (s *faultyStore) GetObject(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
	body, err := s.dirStore.GetObject(ctx, bucket, key)
	switch s.fault {
	case "gives absent objects as empty":
		if errors.Is(err, os.ErrNotExist) {
			return io.NopCloser(strings.NewReader("")), nil
		}
	case "ends a broken download as if complete":
		if err == nil {
			return struct {
				io.Reader
				io.Closer
			}{endless{body}, body}, nil
		}
	case "does not close downloads":
		s.leak()
	}
	return body, err
}

func (s *faultyStore) ListObjects(ctx context.Context, bucket, prefix string) ([]string, error) {
	keys, err := s.dirStore.ListObjects(ctx, bucket, prefix)
	switch s.fault {
	case "lists one page":
		keys = keys[:min(1000, len(keys))]
	case "lists + as a blank":
		for i := range keys {
			if plain, err := url.QueryUnescape(keys[i]); err == nil {
				keys[i] = plain
			}
		}
	case "lists nothing when broken", "lists nothing before Init":
		err = nil
	}
	return keys, err
}

func (s *faultyStore) ListCommonPrefixes(ctx context.Context, bucket, prefix, delimiter string) ([]string, error) {
	if s.fault == "knows one delimiter" {
		delimiter = "/"
	}
	prefixes, err := s.dirStore.ListCommonPrefixes(ctx, bucket, prefix, delimiter)
	switch s.fault {
	case "lists prefixes twice":
		prefixes = append(prefixes, prefixes...)
	case "cuts the delimiter off":
		for i := range prefixes {
			prefixes[i] = strings.TrimSuffix(prefixes[i], delimiter)
		}
	}
	return prefixes, err
}

func (s *faultyStore) DeleteObject(ctx context.Context, bucket, key string) error {
	switch s.fault {
	case "deletes no absent objects":
		if exists, err := s.dirStore.ObjectExists(ctx, bucket, key); err == nil && !exists {
			return errors.New("there is no such object")
		}
	case "deletes nothing":
		return nil
	}
	return s.dirStore.DeleteObject(ctx, bucket, key)
}

func (s *faultyStore) CreateSignedURL(ctx context.Context, bucket, key string, ttl time.Duration) (string, error) {
	switch s.fault {
	case "signs for ever":
		ttl = time.Hour
	case "does not escape URLs":
		signed, err := s.dirStore.CreateSignedURL(ctx, bucket, key, ttl)
		return strings.ReplaceAll(signed, "%2B", "+"), err
	}
	return s.dirStore.CreateSignedURL(ctx, bucket, key, ttl)
}

// faultyStamp is an action with one fault.
type faultyStamp struct {
	stamp
	fault string
	asked *int
}

func (a faultyStamp) AppliesTo(ctx context.Context) (sdk.Selector, error) {
	selector, err := a.stamp.AppliesTo(ctx)
	switch a.fault {
	case "answers with a bad label selector":
		selector.LabelSelector = "a in ("
	case "changes its selector":
		*a.asked++
		selector.IncludedResources = []string{fmt.Sprint("resource", *a.asked)}
	}
	return selector, err
}

func (a faultyStamp) Backup(ctx context.Context, item *unstructured.Unstructured, backup *sdk.Backup) (sdk.BackupResult, error) {
	switch a.fault {
	case "drops unknown fields":
		delete(item.Object, "xPlugintest")
	case "turns integers into floats":
		probe, _, _ := unstructured.NestedMap(item.Object, "xPlugintest")
		if big, ok := probe["big"].(int64); ok {
			probe["big"] = float64(big)
			item.Object["xPlugintest"] = probe
		}
	case "trusts its objects":
		item.SetName(item.Object["metadata"].(map[string]any)["name"].(string))
	case "trusts its backups":
		object, err := backup.Object()
		must(err)
		item.SetNamespace(object.Object["metadata"].(map[string]any)["namespace"].(string))
	case "panics in a goroutine":
		if do, _, _ := unstructured.NestedString(item.Object, "do"); do != "" {
			go panic("a value on purpose")
			select {}
		}
	}
	return a.stamp.Backup(ctx, item, backup)
}
