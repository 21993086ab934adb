package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// everything is an implementation of every kind. It uses all that it is given,
// and returns what it was given where it can.
type everything struct{}

func (everything) Init(_ context.Context, in InitInput) (InitResult, error) {
	if in.Config == nil {
		panic("no config")
	}
	return InitResult{}, nil
}

func (everything) PutObject(_ context.Context, in PutObjectInput) (PutObjectResult, error) {
	_, err := io.Copy(io.Discard, in.Body)
	return PutObjectResult{}, err
}

func (everything) ObjectExists(_ context.Context, in ObjectExistsInput) (ObjectExistsResult, error) {
	return ObjectExistsResult{Exists: in.Key != ""}, nil
}

func (everything) GetObject(_ context.Context, in GetObjectInput) (GetObjectResult, error) {
	switch in.Key {
	case "":
		return GetObjectResult{}, errors.New("no " + in.Bucket)
	case "none":
		return GetObjectResult{}, nil
	}
	return GetObjectResult{Body: io.NopCloser(strings.NewReader(in.Key))}, nil
}

func (everything) ListCommonPrefixes(_ context.Context, in ListCommonPrefixesInput) (ListCommonPrefixesResult, error) {
	return ListCommonPrefixesResult{Prefixes: []string{in.Bucket, in.Prefix, in.Delimiter}}, nil
}

func (everything) ListObjects(_ context.Context, in ListObjectsInput) (ListObjectsResult, error) {
	return ListObjectsResult{Keys: []string{in.Bucket, in.Prefix}}, nil
}

func (everything) DeleteObject(_ context.Context, in DeleteObjectInput) (DeleteObjectResult, error) {
	return DeleteObjectResult{}, status.Error(codes.NotFound, in.Key)
}

func (everything) CreateSignedURL(_ context.Context, in CreateSignedURLInput) (CreateSignedURLResult, error) {
	return CreateSignedURLResult{URL: in.Key + in.TTL.String()}, nil
}

func (everything) CreateVolume(_ context.Context, in CreateVolumeInput) (CreateVolumeResult, error) {
	return CreateVolumeResult{VolumeID: in.SnapshotID}, nil
}

func (everything) VolumeInfo(_ context.Context, in VolumeInfoInput) (VolumeInfoResult, error) {
	return VolumeInfoResult{VolumeType: in.VolumeID, IOPS: 1}, nil
}

func (everything) CreateSnapshot(_ context.Context, in CreateSnapshotInput) (CreateSnapshotResult, error) {
	return CreateSnapshotResult{SnapshotID: in.VolumeID + in.Tags[in.VolumeID]}, nil
}

func (everything) DeleteSnapshot(_ context.Context, in DeleteSnapshotInput) (DeleteSnapshotResult, error) {
	return DeleteSnapshotResult{}, errors.New(in.SnapshotID)
}

func (everything) VolumeID(_ context.Context, in VolumeIDInput) (VolumeIDResult, error) {
	return VolumeIDResult{VolumeID: in.PersistentVolume.GetName()}, nil
}

func (everything) SetVolumeID(_ context.Context, in SetVolumeIDInput) (SetVolumeIDResult, error) {
	return SetVolumeIDResult{}, unstructured.SetNestedField(in.PersistentVolume.Object, in.VolumeID, "spec", "csi", "volumeHandle")
}

func (everything) AppliesTo(context.Context, AppliesToInput) (Selector, error) {
	return Selector{}, nil
}

func (everything) Backup(_ context.Context, in BackupInput) (BackupResult, error) {
	in.Item.SetLabels(map[string]string{"a": "b"})
	_, err := in.Backup.Object()
	return BackupResult{OperationID: in.Item.GetName(), AdditionalItems: []ResourceIdentifier{{Name: in.Item.GetName()}}}, err
}

func (everything) BackupProgress(_ context.Context, in BackupOperation) (Progress, error) {
	return Progress{Description: in.ID}, nil
}

func (everything) CancelBackup(_ context.Context, in BackupOperation) (CancelResult, error) {
	return CancelResult{}, errors.New(in.ID)
}

func (everything) Restore(_ context.Context, in RestoreInput) (RestoreResult, error) {
	if from, err := in.FromBackup.Object(); err == nil {
		in.Item.Object = from.DeepCopy().Object
	}
	return RestoreResult{WaitForAdditionalItems: true}, nil
}

func (everything) RestoreProgress(context.Context, RestoreOperation) (Progress, error) {
	return Progress{}, nil
}

func (everything) CancelRestore(context.Context, RestoreOperation) (CancelResult, error) {
	return CancelResult{}, nil
}

func (everything) ItemsReady(_ context.Context, in ItemsReadyInput) (ItemsReadyResult, error) {
	_, err := in.Restore.Object()
	return ItemsReadyResult{Ready: len(in.Items) > 0}, err
}

func (everything) Delete(_ context.Context, in DeleteInput) (DeleteResult, error) {
	panic(in.Item.GetName())
}

func (everything) RelatedItems(_ context.Context, in RelatedItemsInput) (RelatedItemsResult, error) {
	return RelatedItemsResult{Items: []ResourceIdentifier{{Namespace: in.Item.GetNamespace(), Name: in.Item.GetName()}}}, nil
}

const everythingName = "example.io/all"

func newEverything() *Plugin {
	p := New("all", "test")
	p.ObjectStore(everythingName, constant[ObjectStore](everything{}))
	p.VolumeSnapshotter(everythingName, constant[VolumeSnapshotter](everything{}))
	p.BackupItemAction(everythingName, constant[BackupItemAction](everything{}))
	p.RestoreItemAction(everythingName, constant[RestoreItemAction](everything{}))
	p.DeleteItemAction(everythingName, constant[DeleteItemAction](everything{}))
	p.ItemBlockAction(everythingName, constant[ItemBlockAction](everything{}))
	return p
}

// rawCodec sends frames as they are and ignores what it receives.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// serveInMemory serves a plugin and returns a connection to it and its methods.
func serveInMemory(t testing.TB, p *Plugin) (conn *grpc.ClientConn, methods []string) {
	t.Helper()
	s := server.New(slog.New(slog.DiscardHandler), server.Limits{Drain: time.Second})
	services := p.services(s)
	g := s.GRPC(services)
	listener := bufconn.Listen(1 << 20)
	go g.Serve(listener)
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for _, service := range services {
		for _, m := range service.Methods {
			methods = append(methods, "/"+service.ServiceName+"/"+m.MethodName)
		}
		for _, m := range service.Streams {
			methods = append(methods, "/"+service.ServiceName+"/"+m.StreamName)
		}
	}
	return conn, methods
}

// send sends frames to a method, reads its answers, and returns the status.
func send(ctx context.Context, conn *grpc.ClientConn, method string, frames ...[]byte) error {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	for _, frame := range frames {
		if err := stream.SendMsg(frame); err != nil {
			break // the status follows
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		var answer []byte
		if err := stream.RecvMsg(&answer); err != nil {
			return err
		}
	}
}

// FuzzRPC sends any bytes to any method, as one message or several. Each call has
// to be answered, and the plugin has to go on serving.
func FuzzRPC(f *testing.F) {
	conn, methods := serveInMemory(f, newEverything())
	named := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), everythingName)
	full := bytes.Clone(named)
	for number, value := range []string{`{"kind":"Pod","metadata":{"name":"n"},"big":9007199254740993}`, `{"metadata":{}}`, `{"kind":"Pod"}`} {
		full = protowire.AppendString(protowire.AppendTag(full, protowire.Number(number+2), protowire.BytesType), value)
	}
	for i := range methods {
		f.Add(uint8(i), full, []byte{}, uint16(0))
		f.Add(uint8(i), named, full, uint16(3))
		f.Add(uint8(i), []byte{0x0a, 0xff}, []byte{0xff}, uint16(1))
	}
	f.Fuzz(func(t *testing.T, choice uint8, first, second []byte, cut uint16) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		method := methods[int(choice)%len(methods)]
		frames := [][]byte{first}
		if cut > 0 {
			at := min(int(cut), len(second))
			frames = append(frames, second[:at], second[at:])
		}
		err := send(ctx, conn, method, frames...)
		if code := status.Code(err); err != io.EOF && (code == codes.DeadlineExceeded || code == codes.Unavailable) {
			t.Fatalf("%s: %v", method, err)
		}
		if err := send(ctx, conn, "/generated.PluginLister/ListPlugins", nil); err != io.EOF {
			t.Fatalf("after %s the plugin answers %v", method, err)
		}
	})
}

// FuzzDocument decodes any Backup or Restore.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"b","labels":{"a":"b"}},"spec":{"includedNamespaces":["x"]}}`))
	f.Add([]byte(`{"metadata":[],"spec":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var kept documents
		first := kept.get(raw)
		object, err := first.Object()
		if (object == nil) == (err == nil) {
			t.Fatalf("%v, %v", object, err)
		}
		if !bytes.Equal(first.JSON(), raw) || kept.get(bytes.Clone(raw)) != first {
			t.Error("the document is not kept")
		}
		if err != nil {
			return
		}
		for _, view := range []*unstructured.Unstructured{object, object.DeepCopy()} {
			_ = fmt.Sprint(view.GetName(), view.GetLabels(), view.GetAnnotations(), view.GetCreationTimestamp(), view.GetOwnerReferences())
		}
		if !json.Valid(raw) {
			t.Error("invalid JSON was decoded")
		}
	})
}

// FuzzCommandLine runs the command line with any arguments and any location.
func FuzzCommandLine(f *testing.F) {
	bsl := "apiVersion: velero.io/v1\nkind: BackupStorageLocation\nmetadata: {name: default}\nspec: {provider: example.io/all, objectStorage: {bucket: b}}\n"
	for _, args := range []string{"version", "config --markdown", "check --location -", "check --location - --name default -v", "check --ca-file= --location -", "check -h", "install", "help", "", "--", "check --location"} {
		f.Add(args, bsl)
	}
	f.Add("check --location -", "items: [{}, null, 3]")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, line, location string) {
		args := strings.Fields(line)
		for _, arg := range args {
			// A file that is named may be anything on this machine.
			if strings.ContainsRune(arg, filepath.Separator) || arg == "install" && len(args) > 1 {
				return
			}
		}
		t.Chdir(dir)
		var out, errOut bytes.Buffer
		code := newEverything().byHand(args, strings.NewReader(location), &out, &errOut)
		if code < 0 || code > 2 {
			t.Errorf("exit code %d", code)
		}
		if code == exitUsage && errOut.Len() == 0 {
			t.Error("the arguments are wrong, and nothing says how")
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}
