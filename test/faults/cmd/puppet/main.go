// Command puppet is a plugin with an implementation of every kind. Each method
// reports that it was called and does what it is told: the tests hold it in the
// middle of any call.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	s := wires{os.Getenv("PUPPET_SOCKET")}
	p := sdk.New("velero-plugin-for-puppet", "test")
	p.ObjectStore("example.io/puppet", func(*slog.Logger) sdk.ObjectStore { return store{s} })
	p.VolumeSnapshotter("example.io/puppet", func(*slog.Logger) sdk.VolumeSnapshotter { return snapshotter{s} })
	p.BackupItemAction("example.io/puppet", action{s})
	p.RestoreItemAction("example.io/puppet", action{s})
	p.DeleteItemAction("example.io/puppet", action{s})
	p.ItemBlockAction("example.io/puppet", action{s})
	p.Main()
}

// wires lead to the test: a Unix socket.
type wires struct{ socket string }

// pull reports a call and obeys the line that comes back:
//
//	go         return
//	log N      log N lines first
//	print N    print N lines of a kilobyte first
//	hang       never return, whatever becomes of the context
//	mourn      report "mourning", wait for the end of the context, log a line and
//	           report "mourned"
//
// Without an answer it waits for the end of the context.
func (s wires) pull(ctx context.Context, method string) error {
	if s.socket == "" {
		return nil
	}
	conn, err := s.report(method)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("the test has let go: %w", err)
	}
	return s.obey(ctx, line)
}

// report tells the test where the puppet is. The answer comes on the connection.
func (s wires) report(where string) (net.Conn, error) {
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintln(conn, where); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (s wires) obey(ctx context.Context, line string) error {
	command, argument, _ := strings.Cut(strings.TrimSpace(line), " ")
	n, _ := strconv.Atoi(argument)
	switch command {
	case "go":
	case "log":
		for i := range n {
			slog.Info("a line of the puppet's log", "number", i, "of", n)
		}
	case "print":
		for range n {
			fmt.Println(strings.Repeat("printed ", 128))
		}
	case "hang":
		select {}
	case "mourn":
		if _, err := s.report("mourning"); err != nil {
			return err
		}
		<-ctx.Done()
		slog.Info("the host is gone")
		_, err := s.report("mourned")
		return err
	default:
		return fmt.Errorf("no command %q", line)
	}
	return nil
}

type store struct{ wires }

func (s store) Init(ctx context.Context, _ map[string]string) error {
	return s.pull(ctx, "ObjectStore.Init")
}

func (s store) PutObject(ctx context.Context, _, _ string, body io.Reader) error {
	if err := s.pull(ctx, "ObjectStore.PutObject"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

func (s store) ObjectExists(ctx context.Context, _, _ string) (bool, error) {
	return true, s.pull(ctx, "ObjectStore.ObjectExists")
}

func (s store) GetObject(ctx context.Context, _, key string) (io.ReadCloser, error) {
	if key == "endless" {
		return endless(s), s.pull(ctx, "ObjectStore.GetObject")
	}
	return io.NopCloser(strings.NewReader("the object " + key)), s.pull(ctx, "ObjectStore.GetObject")
}

// endless is an object without an end.
type endless struct{ wires }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func (e endless) Close() error { return e.pull(context.Background(), "ObjectStore.Close") }

func (s store) ListCommonPrefixes(ctx context.Context, _, _, _ string) ([]string, error) {
	return nil, s.pull(ctx, "ObjectStore.ListCommonPrefixes")
}

func (s store) ListObjects(ctx context.Context, _, _ string) ([]string, error) {
	return nil, s.pull(ctx, "ObjectStore.ListObjects")
}

func (s store) DeleteObject(ctx context.Context, _, _ string) error {
	return s.pull(ctx, "ObjectStore.DeleteObject")
}

func (s store) CreateSignedURL(ctx context.Context, _, _ string, _ time.Duration) (string, error) {
	return "", s.pull(ctx, "ObjectStore.CreateSignedURL")
}

type snapshotter struct{ wires }

func (s snapshotter) Init(ctx context.Context, _ map[string]string) error {
	return s.pull(ctx, "VolumeSnapshotter.Init")
}

func (s snapshotter) CreateVolumeFromSnapshot(ctx context.Context, _, _, _ string, _ int64) (string, error) {
	return "volume", s.pull(ctx, "VolumeSnapshotter.CreateVolumeFromSnapshot")
}

func (s snapshotter) GetVolumeInfo(ctx context.Context, _, _ string) (string, int64, error) {
	return "type", 0, s.pull(ctx, "VolumeSnapshotter.GetVolumeInfo")
}

func (s snapshotter) CreateSnapshot(ctx context.Context, _, _ string, _ map[string]string) (string, error) {
	return "snapshot", s.pull(ctx, "VolumeSnapshotter.CreateSnapshot")
}

func (s snapshotter) DeleteSnapshot(ctx context.Context, _ string) error {
	return s.pull(ctx, "VolumeSnapshotter.DeleteSnapshot")
}

func (s snapshotter) GetVolumeID(ctx context.Context, _ *unstructured.Unstructured) (string, error) {
	return "volume", s.pull(ctx, "VolumeSnapshotter.GetVolumeID")
}

func (s snapshotter) SetVolumeID(ctx context.Context, _ *unstructured.Unstructured, _ string) error {
	return s.pull(ctx, "VolumeSnapshotter.SetVolumeID")
}

type action struct{ wires }

func (a action) AppliesTo(ctx context.Context) (sdk.Selector, error) {
	return sdk.Selector{}, a.pull(ctx, "AppliesTo")
}

func (a action) Backup(ctx context.Context, item *unstructured.Unstructured, _ *sdk.Backup) (sdk.BackupResult, error) {
	item.SetLabels(map[string]string{"example.io/puppet": "backed-up"})
	return sdk.BackupResult{}, a.pull(ctx, "Backup")
}

func (a action) BackupProgress(ctx context.Context, _ string, _ *sdk.Backup) (sdk.Progress, error) {
	return sdk.Progress{}, a.pull(ctx, "BackupProgress")
}

func (a action) CancelBackup(ctx context.Context, _ string, _ *sdk.Backup) error {
	return a.pull(ctx, "CancelBackup")
}

func (a action) Restore(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	if in.Item == nil || in.FromBackup == nil {
		return sdk.RestoreResult{}, errors.New("no item")
	}
	return sdk.RestoreResult{}, a.pull(ctx, "Restore")
}

func (a action) RestoreProgress(ctx context.Context, _ string, _ *sdk.Restore) (sdk.Progress, error) {
	return sdk.Progress{}, a.pull(ctx, "RestoreProgress")
}

func (a action) CancelRestore(ctx context.Context, _ string, _ *sdk.Restore) error {
	return a.pull(ctx, "CancelRestore")
}

func (a action) ItemsReady(ctx context.Context, _ []sdk.ResourceIdentifier, _ *sdk.Restore) (bool, error) {
	return true, a.pull(ctx, "ItemsReady")
}

func (a action) Delete(ctx context.Context, _ *unstructured.Unstructured, _ *sdk.Backup) error {
	return a.pull(ctx, "Delete")
}

func (a action) RelatedItems(ctx context.Context, _ *unstructured.Unstructured, _ *sdk.Backup) ([]sdk.ResourceIdentifier, error) {
	return nil, a.pull(ctx, "RelatedItems")
}
