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

func (s *faultyStore) Init(ctx context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	switch s.fault {
	case "accepts unknown keys":
		s.config.Store(&dirConfig{in.Config["root"], in.Config["url"]})
		return sdk.InitResult{}, nil
	case "forgets its configuration during Init":
		s.config.Store(nil)
		time.Sleep(time.Millisecond)
	case "locks its store":
		lock, err := os.OpenFile(filepath.Join(in.Config["root"], "lock"), os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return sdk.InitResult{}, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leaked = append(s.leaked, unlocker{lock})
	case "opens a file at each Init":
		s.leak()
	}
	return s.dirStore.Init(ctx, in)
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

func (s *faultyStore) PutObject(ctx context.Context, in sdk.PutObjectInput) (sdk.PutObjectResult, error) {
	switch s.fault {
	case "writes in place":
		return sdk.PutObjectResult{}, s.writeInPlace(in.Bucket, in.Key, in.Body, os.O_TRUNC)
	case "does not truncate":
		return sdk.PutObjectResult{}, s.writeInPlace(in.Bucket, in.Key, in.Body, 0)
	case "stores what it has when a body breaks":
		return s.dirStore.PutObject(context.WithoutCancel(ctx), sdk.PutObjectInput{Bucket: in.Bucket, Key: in.Key, Body: endless{in.Body}})
	case "shares one buffer":
		return sdk.PutObjectResult{}, s.shareBuffer(ctx, in.Bucket, in.Key, in.Body)
	case "holds objects in memory":
		all, err := io.ReadAll(in.Body)
		if err != nil {
			return sdk.PutObjectResult{}, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hoard = all
		return s.dirStore.PutObject(ctx, sdk.PutObjectInput{Bucket: in.Bucket, Key: in.Key, Body: bytes.NewReader(all)})
	case "puts a temporary file beside itself":
		f, err := os.CreateTemp("", "part")
		must(err)
		_, err = io.Copy(f, in.Body)
		if err != nil {
			return sdk.PutObjectResult{}, err
		}
		_, err = f.Seek(0, io.SeekStart)
		if err == nil {
			in.Body = f
			_, err = s.dirStore.PutObject(ctx, in)
		}
		return sdk.PutObjectResult{}, errors.Join(err, os.Remove(f.Name()))
	case "stores in absent buckets":
		if c := s.config.Load(); c != nil {
			must(os.MkdirAll(filepath.Join(c.root, in.Bucket), 0o700))
		}
	}
	return s.dirStore.PutObject(ctx, in)
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
	_, err = s.dirStore.PutObject(ctx, sdk.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(bytes.Clone(shared))})
	return err
}

func (s *faultyStore) ObjectExists(ctx context.Context, in sdk.ObjectExistsInput) (sdk.ObjectExistsResult, error) {
	found, err := s.dirStore.ObjectExists(ctx, in)
	if s.fault == "reports errors as absence" {
		err = nil
	}
	return found, err
}

func (s *faultyStore) GetObject(ctx context.Context, in sdk.GetObjectInput) (sdk.GetObjectResult, error) {
	object, err := s.dirStore.GetObject(ctx, in)
	switch s.fault {
	case "gives absent objects as empty":
		if errors.Is(err, os.ErrNotExist) {
			return sdk.GetObjectResult{Body: io.NopCloser(strings.NewReader(""))}, nil
		}
	case "ends a broken download as if complete":
		if err == nil {
			return sdk.GetObjectResult{Body: struct {
				io.Reader
				io.Closer
			}{endless{object.Body}, object.Body}}, nil
		}
	case "does not close downloads":
		s.leak()
	}
	return sdk.GetObjectResult{Body: object.Body}, err
}

func (s *faultyStore) ListObjects(ctx context.Context, in sdk.ListObjectsInput) (sdk.ListObjectsResult, error) {
	listed, err := s.dirStore.ListObjects(ctx, in)
	switch s.fault {
	case "lists one page":
		listed.Keys = listed.Keys[:min(1000, len(listed.Keys))]
	case "lists + as a blank":
		for i := range listed.Keys {
			if plain, err := url.QueryUnescape(listed.Keys[i]); err == nil {
				listed.Keys[i] = plain
			}
		}
	case "lists nothing when broken", "lists nothing before Init":
		err = nil
	}
	return sdk.ListObjectsResult{Keys: listed.Keys}, err
}

func (s *faultyStore) ListCommonPrefixes(ctx context.Context, in sdk.ListCommonPrefixesInput) (sdk.ListCommonPrefixesResult, error) {
	if s.fault == "knows one delimiter" {
		in.Delimiter = "/"
	}
	listed, err := s.dirStore.ListCommonPrefixes(ctx, in)
	switch s.fault {
	case "lists prefixes twice":
		listed.Prefixes = append(listed.Prefixes, listed.Prefixes...)
	case "cuts the delimiter off":
		for i := range listed.Prefixes {
			listed.Prefixes[i] = strings.TrimSuffix(listed.Prefixes[i], in.Delimiter)
		}
	}
	return sdk.ListCommonPrefixesResult{Prefixes: listed.Prefixes}, err
}

func (s *faultyStore) DeleteObject(ctx context.Context, in sdk.DeleteObjectInput) (sdk.DeleteObjectResult, error) {
	switch s.fault {
	case "deletes no absent objects":
		if found, err := s.dirStore.ObjectExists(ctx, sdk.ObjectExistsInput(in)); err == nil && !found.Exists {
			return sdk.DeleteObjectResult{}, errors.New("there is no such object")
		}
	case "deletes nothing":
		return sdk.DeleteObjectResult{}, nil
	}
	return s.dirStore.DeleteObject(ctx, in)
}

func (s *faultyStore) CreateSignedURL(ctx context.Context, in sdk.CreateSignedURLInput) (sdk.CreateSignedURLResult, error) {
	switch s.fault {
	case "signs for ever":
		in.TTL = time.Hour
	case "does not escape URLs":
		signed, err := s.dirStore.CreateSignedURL(ctx, in)
		return sdk.CreateSignedURLResult{URL: strings.ReplaceAll(signed.URL, "%2B", "+")}, err
	}
	return s.dirStore.CreateSignedURL(ctx, in)
}

// faultyStamp is an action with one fault.
type faultyStamp struct {
	stamp
	fault string
	asked *int
}

func (a faultyStamp) AppliesTo(ctx context.Context, _ sdk.AppliesToInput) (sdk.Selector, error) {
	selector, err := a.stamp.AppliesTo(ctx, sdk.AppliesToInput{})
	switch a.fault {
	case "answers with a bad label selector":
		selector.LabelSelector = "a in ("
	case "changes its selector":
		*a.asked++
		selector.IncludedResources = []string{fmt.Sprint("resource", *a.asked)}
	}
	return selector, err
}

func (a faultyStamp) Backup(ctx context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	switch a.fault {
	case "drops unknown fields":
		delete(in.Item.Object, "xPlugintest")
	case "turns integers into floats":
		probe, _, _ := unstructured.NestedMap(in.Item.Object, "xPlugintest")
		if big, ok := probe["big"].(int64); ok {
			probe["big"] = float64(big)
			in.Item.Object["xPlugintest"] = probe
		}
	case "trusts its objects":
		in.Item.SetName(in.Item.Object["metadata"].(map[string]any)["name"].(string))
	case "trusts its backups":
		object, err := in.Backup.Object()
		must(err)
		in.Item.SetNamespace(object.Object["metadata"].(map[string]any)["namespace"].(string))
	case "panics in a goroutine":
		if do, _, _ := unstructured.NestedString(in.Item.Object, "do"); do != "" {
			go panic("a value on purpose")
			select {}
		}
	}
	return a.stamp.Backup(ctx, in)
}

// restoreStamp is an action on restored items with one fault.
type restoreStamp struct {
	stamp
	fault string
}

func (a restoreStamp) AppliesTo(ctx context.Context, in sdk.AppliesToInput) (sdk.Selector, error) {
	selector, err := a.stamp.AppliesTo(ctx, in)
	if a.fault == "restores namespaces" {
		selector.IncludedResources = []string{"secrets", "namespaces"}
	}
	return selector, err
}
