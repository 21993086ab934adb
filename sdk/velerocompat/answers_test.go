package velerocompat_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	velero "github.com/vmware-tanzu/velero/pkg/plugin/generated"
	backupv2 "github.com/vmware-tanzu/velero/pkg/plugin/generated/backupitemaction/v2"
	itemblockv1 "github.com/vmware-tanzu/velero/pkg/plugin/generated/itemblockaction/v1"
	restorev2 "github.com/vmware-tanzu/velero/pkg/plugin/generated/restoreitemaction/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// process is a running plugin.
type process struct {
	*grpc.ClientConn
	command *exec.Cmd
	stderr  bytes.Buffer
}

// start starts a plugin as the Velero server does.
func start(t *testing.T, path string) *process {
	t.Helper()
	p := &process{command: exec.CommandContext(t.Context(), path, "--log-level", "debug")}
	p.command.Env = append(os.Environ(), "VELERO_PLUGIN=hello", "TMPDIR="+t.TempDir(), "PLUGIN_PROTOCOL_VERSIONS=2")
	p.command.Stderr = &p.stderr
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	fields := strings.Split(line, "|")
	if err != nil || len(fields) < 5 {
		t.Fatalf("handshake %q, %v\n%s", line, err, p.stderr.String())
	}
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, fields[2], fields[3])
	}
	p.ClientConn, err = grpc.NewClient("passthrough:///plugin",
		grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// end ends the plugin and returns what it has logged.
func (p *process) end() string {
	if p.ClientConn != nil {
		p.Close()
	}
	p.command.Process.Kill()
	_ = p.command.Wait() // it was killed
	return p.stderr.String()
}

// call is one call of a plugin.
type call struct {
	name     string
	method   string
	request  proto.Message
	response proto.Message
}

const backup = `{"kind":"Backup","metadata":{"name":"nightly"},"spec":{"storageLocation":"default"},"status":{"phase":"InProgress"}}`
const restore = `{"kind":"Restore","metadata":{"name":"again"},"spec":{"backupName":"nightly"}}`

const volume = `{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv"},` +
	`"spec":{"unknown":9007199254740993,"csi":{"driver":"disks.example.io","volumeHandle":"vol-1"}}}`

// calls are those that the answers of both binaries are compared for.
func calls() []call {
	var all []call
	add := func(name, method string, request, response proto.Message) {
		all = append(all, call{name, method, request, response})
	}
	for _, do := range []string{
		"nothing", "edit", "edit and return nil", "fail", "skip", "panic", "panic with an error",
	} {
		item := []byte(pod(do))
		add(do, velero.BackupItemAction_Execute_FullMethodName,
			&velero.ExecuteRequest{Plugin: "example.io/backup", Item: item, Backup: []byte(backup)}, &velero.ExecuteResponse{})
		add(do, backupv2.BackupItemAction_Execute_FullMethodName,
			&backupv2.ExecuteRequest{Plugin: "example.io/backup-v2", Item: item, Backup: []byte(backup)}, &backupv2.ExecuteResponse{})
		add(do, velero.RestoreItemAction_Execute_FullMethodName,
			&velero.RestoreItemActionExecuteRequest{Plugin: "example.io/restore", Item: item, ItemFromBackup: item, Restore: []byte(restore)},
			&velero.RestoreItemActionExecuteResponse{})
		add(do, restorev2.RestoreItemAction_Execute_FullMethodName,
			&restorev2.RestoreItemActionExecuteRequest{Plugin: "example.io/restore-v2", Item: item, ItemFromBackup: item, Restore: []byte(restore)},
			&restorev2.RestoreItemActionExecuteResponse{})
		add(do, velero.DeleteItemAction_Execute_FullMethodName,
			&velero.DeleteItemActionExecuteRequest{Plugin: "example.io/delete", Item: item, Backup: []byte(backup)}, &velero.Empty{})
		add(do, itemblockv1.ItemBlockAction_GetRelatedItems_FullMethodName,
			&itemblockv1.ItemBlockActionGetRelatedItemsRequest{Plugin: "example.io/block", Item: item, Backup: []byte(backup)},
			&itemblockv1.ItemBlockActionGetRelatedItemsResponse{})
	}
	for _, operation := range []string{"operation-1", "operation-2"} {
		add(operation, backupv2.BackupItemAction_Progress_FullMethodName,
			&backupv2.BackupItemActionProgressRequest{Plugin: "example.io/backup-v2", OperationID: operation, Backup: []byte(backup)},
			&backupv2.BackupItemActionProgressResponse{})
		add(operation, backupv2.BackupItemAction_Cancel_FullMethodName,
			&backupv2.BackupItemActionCancelRequest{Plugin: "example.io/backup-v2", OperationID: operation, Backup: []byte(backup)}, &emptypb.Empty{})
		add(operation, restorev2.RestoreItemAction_Progress_FullMethodName,
			&restorev2.RestoreItemActionProgressRequest{Plugin: "example.io/restore-v2", OperationID: operation, Restore: []byte(restore)},
			&restorev2.RestoreItemActionProgressResponse{})
		add(operation, restorev2.RestoreItemAction_Cancel_FullMethodName,
			&restorev2.RestoreItemActionCancelRequest{Plugin: "example.io/restore-v2", OperationID: operation, Restore: []byte(restore)}, &emptypb.Empty{})
	}
	for _, items := range [][]*velero.ResourceIdentifier{nil, {{Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"}}, {{Name: "b"}}} {
		add(fmt.Sprint(items), restorev2.RestoreItemAction_AreAdditionalItemsReady_FullMethodName,
			&restorev2.RestoreItemActionItemsReadyRequest{Plugin: "example.io/restore-v2", Restore: []byte(restore), AdditionalItems: items},
			&restorev2.RestoreItemActionItemsReadyResponse{})
	}
	add("selector", velero.BackupItemAction_AppliesTo_FullMethodName,
		&velero.BackupItemActionAppliesToRequest{Plugin: "example.io/backup"}, &velero.BackupItemActionAppliesToResponse{})
	add("selector", restorev2.RestoreItemAction_AppliesTo_FullMethodName,
		&restorev2.RestoreItemActionAppliesToRequest{Plugin: "example.io/restore-v2"}, &restorev2.RestoreItemActionAppliesToResponse{})

	const disks = "example.io/disks"
	add("config", velero.VolumeSnapshotter_Init_FullMethodName,
		&velero.VolumeSnapshotterInitRequest{Plugin: disks, Config: map[string]string{"region": "here"}}, &velero.Empty{})
	for _, iops := range []int64{0, 100} {
		add(fmt.Sprint(iops), velero.VolumeSnapshotter_CreateVolumeFromSnapshot_FullMethodName,
			&velero.CreateVolumeRequest{Plugin: disks, SnapshotID: "snap-1", VolumeType: "ssd", VolumeAZ: "a", Iops: iops}, &velero.CreateVolumeResponse{})
	}
	for _, zone := range []string{"", "here"} {
		add(zone, velero.VolumeSnapshotter_GetVolumeInfo_FullMethodName,
			&velero.GetVolumeInfoRequest{Plugin: disks, VolumeID: "vol-1", VolumeAZ: zone}, &velero.GetVolumeInfoResponse{})
	}
	add("tags", velero.VolumeSnapshotter_CreateSnapshot_FullMethodName,
		&velero.CreateSnapshotRequest{Plugin: disks, VolumeID: "vol-1", Tags: map[string]string{"velero.io/pv": "pv"}}, &velero.CreateSnapshotResponse{})
	for _, snapshot := range []string{"snap-1", "locked"} {
		add(snapshot, velero.VolumeSnapshotter_DeleteSnapshot_FullMethodName,
			&velero.DeleteSnapshotRequest{Plugin: disks, SnapshotID: snapshot}, &velero.Empty{})
	}
	add("own", velero.VolumeSnapshotter_GetVolumeID_FullMethodName,
		&velero.GetVolumeIDRequest{Plugin: disks, PersistentVolume: []byte(volume)}, &velero.GetVolumeIDResponse{})
	add("new", velero.VolumeSnapshotter_SetVolumeID_FullMethodName,
		&velero.SetVolumeIDRequest{Plugin: disks, PersistentVolume: []byte(volume), VolumeID: "vol-2"}, &velero.SetVolumeIDResponse{})
	return all
}

// answer is what a plugin answers to a call, in a form that can be compared.
type answer struct {
	Code     string
	Message  string
	Response any
}

func (p *process) answer(t *testing.T, c call) answer {
	t.Helper()
	response := c.response.ProtoReflect().New().Interface()
	err := p.Invoke(t.Context(), c.method, c.request, response)
	text, _, _ := strings.Cut(status.Convert(err).Message(), " (in ") // where the SDK says what a panic was about
	text, _, _ = strings.Cut(text, ", stack trace")
	a := answer{Code: status.Code(err).String(), Message: text}
	if err != nil {
		return a
	}
	data, err := protojson.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	if r, ok := response.(interface{ GetItem() []byte }); ok {
		fields["item"] = decoded(t, r.GetItem())
	}
	if r, ok := response.(interface{ GetPersistentVolume() []byte }); ok {
		fields["persistentVolume"] = decoded(t, r.GetPersistentVolume())
	}
	a.Response = fields
	return a
}

func decoded(t *testing.T, item []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(item))
	decoder.UseNumber()
	var fields any
	if err := decoder.Decode(&fields); err != nil {
		t.Fatalf("%v in %s", err, item)
	}
	return fields
}

// TestSameAnswers calls both binaries.
func TestSameAnswers(t *testing.T) {
	t.Parallel()
	b := built(t)
	framework, moved := start(t, b.framework), start(t, b.moved)
	codes := map[string]int{}
	for _, c := range calls() {
		before, after := framework.answer(t, c), moved.answer(t, c)
		codes[before.Code]++
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%s, %s:\nbefore %+v\nafter  %+v", c.method, c.name, before, after)
		}
	}
	if codes["OK"] == 0 || codes["Unknown"] == 0 || codes["Aborted"] == 0 {
		t.Errorf("answers by their code: %v", codes)
	}
	compareLogs(t, framework.end(), moved.end())
}

// compareLogs compares what an action has logged.
func compareLogs(t *testing.T, before, after string) {
	t.Helper()
	a, b := entries(before), entries(after)
	if len(a) == 0 || !reflect.DeepEqual(a, b) {
		t.Errorf("logged before: %v\nand after: %v", a, b)
	}
}

// entries counts the lines of the old plugin's own code by what of them the
// Velero server shows.
func entries(stderr string) map[string]int {
	count := map[string]int{}
	for line := range strings.Lines(stderr) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) != nil {
			continue
		}
		source, _ := fields["logSource"].(string)
		if !strings.Contains(source, "/actions.go:") {
			continue
		}
		count[fmt.Sprint(fields["@level"], " ", fields["@message"], " ", fields["item"], fields["count"], fields["error"],
			" ", fields["@logSourceSetBy"], " ", source[strings.LastIndex(source, "/")+1:])]++
	}
	return count
}

// TestNothingReturned has answers that end a call of the framework in a panic.
func TestNothingReturned(t *testing.T) {
	t.Parallel()
	moved := start(t, built(t).moved)
	item := []byte(pod("return no output"))
	for _, c := range []call{
		{"an output", velero.RestoreItemAction_Execute_FullMethodName,
			&velero.RestoreItemActionExecuteRequest{Plugin: "example.io/restore", Item: item, ItemFromBackup: item, Restore: []byte(restore)},
			&velero.RestoreItemActionExecuteResponse{}},
		{"a persistent volume", velero.VolumeSnapshotter_SetVolumeID_FullMethodName,
			&velero.SetVolumeIDRequest{Plugin: "example.io/disks", PersistentVolume: []byte(volume)}, &velero.SetVolumeIDResponse{}},
	} {
		if a := moved.answer(t, c); a.Code != "Unknown" || !strings.Contains(a.Message, "returned neither "+c.name+" nor an error") {
			t.Errorf("%+v", a)
		}
	}
}
