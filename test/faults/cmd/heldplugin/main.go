// Command heldplugin is a plugin with an implementation of every kind. Each method
// tells the test that it was called and waits for a command, so that a test can
// hold the plugin in the middle of any call.
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

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

func main() {
	s := control{os.Getenv("CONTROL_SOCKET")}
	p := sdk.New("velero-plugin-for-tests", "test")
	p.ObjectStore("example.io/held", func(sdk.Host) (sdk.ObjectStore, error) { return store{s}, nil })
	p.VolumeSnapshotter("example.io/held", func(sdk.Host) (sdk.VolumeSnapshotter, error) { return snapshotter{s}, nil })
	p.BackupItemAction("example.io/held", func(sdk.Host) (sdk.BackupItemAction, error) { return action{s}, nil })
	p.RestoreItemAction("example.io/held", func(sdk.Host) (sdk.RestoreItemAction, error) { return action{s}, nil })
	p.DeleteItemAction("example.io/held", func(sdk.Host) (sdk.DeleteItemAction, error) { return action{s}, nil })
	p.ItemBlockAction("example.io/held", func(sdk.Host) (sdk.ItemBlockAction, error) { return action{s}, nil })
	p.Main()
}

// control is the Unix socket on which the test listens.
type control struct{ socket string }

// hold reports a call and does what the line that comes back says:
//
//	go         return
//	log N      log N lines first
//	print N    print N lines of a kilobyte first
//	hang       never return, whatever becomes of the context
//	awaitEnd   report "waiting", wait for the end of the context, log a line and
//	           report "ended"
//
// Without an answer it waits for the end of the context.
func (s control) hold(ctx context.Context, method string) error {
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
		return fmt.Errorf("the test has closed the connection: %w", err)
	}
	return s.do(ctx, line)
}

// report tells the test which method the plugin is in. The answer comes on the connection.
func (s control) report(where string) (net.Conn, error) {
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

func (s control) do(ctx context.Context, line string) error {
	command, argument, _ := strings.Cut(strings.TrimSpace(line), " ")
	n, _ := strconv.Atoi(argument)
	switch command {
	case "go":
	case "log":
		for i := range n {
			slog.Info("a line of the plugin's log", "number", i, "of", n)
		}
	case "print":
		for range n {
			fmt.Println(strings.Repeat("printed ", 128))
		}
	case "hang":
		select {}
	case "awaitEnd":
		if _, err := s.report("waiting"); err != nil {
			return err
		}
		<-ctx.Done()
		slog.Info("the host is gone")
		_, err := s.report("ended")
		return err
	default:
		return fmt.Errorf("no command %q", line)
	}
	return nil
}

type store struct{ control }

func (s store) Init(ctx context.Context, _ sdk.InitInput) (sdk.InitResult, error) {
	return sdk.InitResult{}, s.hold(ctx, "ObjectStore.Init")
}

func (s store) PutObject(ctx context.Context, in sdk.PutObjectInput) (sdk.PutObjectResult, error) {
	if err := s.hold(ctx, "ObjectStore.PutObject"); err != nil {
		return sdk.PutObjectResult{}, err
	}
	_, err := io.Copy(io.Discard, in.Body)
	return sdk.PutObjectResult{}, err
}

func (s store) ObjectExists(ctx context.Context, _ sdk.ObjectExistsInput) (sdk.ObjectExistsResult, error) {
	return sdk.ObjectExistsResult{Exists: true}, s.hold(ctx, "ObjectStore.ObjectExists")
}

func (s store) GetObject(ctx context.Context, in sdk.GetObjectInput) (sdk.GetObjectResult, error) {
	if in.Key == "endless" {
		return sdk.GetObjectResult{Body: endless(s)}, s.hold(ctx, "ObjectStore.GetObject")
	}
	return sdk.GetObjectResult{Body: io.NopCloser(strings.NewReader("the object " + in.Key))}, s.hold(ctx, "ObjectStore.GetObject")
}

// endless is an object without an end.
type endless struct{ control }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func (e endless) Close() error { return e.hold(context.Background(), "ObjectStore.Close") }

func (s store) ListCommonPrefixes(ctx context.Context, _ sdk.ListCommonPrefixesInput) (sdk.ListCommonPrefixesResult, error) {
	return sdk.ListCommonPrefixesResult{}, s.hold(ctx, "ObjectStore.ListCommonPrefixes")
}

func (s store) ListObjects(ctx context.Context, _ sdk.ListObjectsInput) (sdk.ListObjectsResult, error) {
	return sdk.ListObjectsResult{}, s.hold(ctx, "ObjectStore.ListObjects")
}

func (s store) DeleteObject(ctx context.Context, _ sdk.DeleteObjectInput) (sdk.DeleteObjectResult, error) {
	return sdk.DeleteObjectResult{}, s.hold(ctx, "ObjectStore.DeleteObject")
}

func (s store) CreateSignedURL(ctx context.Context, _ sdk.CreateSignedURLInput) (sdk.CreateSignedURLResult, error) {
	return sdk.CreateSignedURLResult{}, s.hold(ctx, "ObjectStore.CreateSignedURL")
}

type snapshotter struct{ control }

func (s snapshotter) Init(ctx context.Context, _ sdk.InitInput) (sdk.InitResult, error) {
	return sdk.InitResult{}, s.hold(ctx, "VolumeSnapshotter.Init")
}

func (s snapshotter) CreateVolume(ctx context.Context, _ sdk.CreateVolumeInput) (sdk.CreateVolumeResult, error) {
	return sdk.CreateVolumeResult{VolumeID: "volume"}, s.hold(ctx, "VolumeSnapshotter.CreateVolumeFromSnapshot")
}

func (s snapshotter) VolumeInfo(ctx context.Context, _ sdk.VolumeInfoInput) (sdk.VolumeInfoResult, error) {
	return sdk.VolumeInfoResult{VolumeType: "type", IOPS: 0}, s.hold(ctx, "VolumeSnapshotter.GetVolumeInfo")
}

func (s snapshotter) CreateSnapshot(ctx context.Context, _ sdk.CreateSnapshotInput) (sdk.CreateSnapshotResult, error) {
	return sdk.CreateSnapshotResult{SnapshotID: "snapshot"}, s.hold(ctx, "VolumeSnapshotter.CreateSnapshot")
}

func (s snapshotter) DeleteSnapshot(ctx context.Context, _ sdk.DeleteSnapshotInput) (sdk.DeleteSnapshotResult, error) {
	return sdk.DeleteSnapshotResult{}, s.hold(ctx, "VolumeSnapshotter.DeleteSnapshot")
}

func (s snapshotter) VolumeID(ctx context.Context, _ sdk.VolumeIDInput) (sdk.VolumeIDResult, error) {
	return sdk.VolumeIDResult{VolumeID: "volume"}, s.hold(ctx, "VolumeSnapshotter.GetVolumeID")
}

func (s snapshotter) SetVolumeID(ctx context.Context, _ sdk.SetVolumeIDInput) (sdk.SetVolumeIDResult, error) {
	return sdk.SetVolumeIDResult{}, s.hold(ctx, "VolumeSnapshotter.SetVolumeID")
}

type action struct{ control }

func (a action) AppliesTo(ctx context.Context, _ sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{}, a.hold(ctx, "AppliesTo")
}

func (a action) Backup(ctx context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	in.Item.SetLabels(map[string]string{"example.io/held": "backed-up"})
	return sdk.BackupResult{}, a.hold(ctx, "Backup")
}

func (a action) BackupProgress(ctx context.Context, _ sdk.BackupOperation) (sdk.Progress, error) {
	return sdk.Progress{}, a.hold(ctx, "BackupProgress")
}

func (a action) CancelBackup(ctx context.Context, _ sdk.BackupOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, a.hold(ctx, "CancelBackup")
}

func (a action) Restore(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	if in.Item == nil || in.FromBackup == nil {
		return sdk.RestoreResult{}, errors.New("no item")
	}
	return sdk.RestoreResult{}, a.hold(ctx, "Restore")
}

func (a action) RestoreProgress(ctx context.Context, _ sdk.RestoreOperation) (sdk.Progress, error) {
	return sdk.Progress{}, a.hold(ctx, "RestoreProgress")
}

func (a action) CancelRestore(ctx context.Context, _ sdk.RestoreOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, a.hold(ctx, "CancelRestore")
}

func (a action) ItemsReady(ctx context.Context, _ sdk.ItemsReadyInput) (sdk.ItemsReadyResult, error) {
	return sdk.ItemsReadyResult{Ready: true}, a.hold(ctx, "ItemsReady")
}

func (a action) Delete(ctx context.Context, _ sdk.DeleteInput) (sdk.DeleteResult, error) {
	return sdk.DeleteResult{}, a.hold(ctx, "Delete")
}

func (a action) RelatedItems(ctx context.Context, _ sdk.RelatedItemsInput) (sdk.RelatedItemsResult, error) {
	return sdk.RelatedItemsResult{}, a.hold(ctx, "RelatedItems")
}
