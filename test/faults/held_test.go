package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

// controller is the test's side of the socket on which heldplugin reports its
// calls and waits for commands.
type controller struct {
	t        testing.TB
	socket   string
	listener *net.UnixListener
}

func newController(t testing.TB) *controller {
	t.Helper()
	dir, err := os.MkdirTemp(servers.Dir(), "p") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	p := &controller{t: t, socket: filepath.Join(dir, "s")}
	if p.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: p.socket}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.listener.Close() })
	return p
}

// launch returns how to start a heldplugin that reports to this controller.
func (p *controller) launch() host.Launch {
	return launch(p.t, heldPlugin(p.t), "CONTROL_SOCKET="+p.socket)
}

// heldCall is a call that a plugin is in the middle of.
type heldCall struct {
	net.Conn
	method string
}

// next waits for the next call.
func (p *controller) next() heldCall {
	p.t.Helper()
	_ = p.listener.SetDeadline(time.Now().Add(promptly)) // it fails on a closed listener only, as Accept does
	conn, err := p.listener.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	method, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return heldCall{conn, strings.TrimSpace(method)}
}

// tell says what the plugin is to do.
func (c heldCall) tell(t testing.TB, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(c, format+"\n", args...); err != nil {
		t.Fatal(err)
	}
}

// call is one method of the protocol.
type call struct {
	name   string // service and method
	method string // as the plugin reports it
	do     func(context.Context) error
}

// everyCall returns all methods of a plugin that its implementations see.
func everyCall(p *host.Plugin) []call {
	var calls []call
	add := func(name, method string, do func(context.Context) error) {
		calls = append(calls, call{name, method, do})
	}
	s := host.Store{Plugin: p, Name: heldStore, Bucket: "b"}
	add("ObjectStore.Init", "ObjectStore.Init", func(ctx context.Context) error { return s.Init(ctx, nil) })
	add("ObjectStore.PutObject", "ObjectStore.PutObject", func(ctx context.Context) error {
		return s.Put(ctx, "key", host.Body{Size: 1 << 20}.Reader())
	})
	add("ObjectStore.GetObject", "ObjectStore.GetObject", func(ctx context.Context) error {
		object, err := s.Get(ctx, "key")
		if err == nil {
			_, err = io.Copy(io.Discard, object)
		}
		return err
	})
	unary := func(service, name, method string, request host.Message) {
		add(service+"."+name, method, func(ctx context.Context) error {
			_, err := p.Call(ctx, service, name, request)
			return err
		})
	}
	named := host.Message{}.Text(1, heldStore)
	for _, name := range []string{"ObjectExists", "ListCommonPrefixes", "ListObjects", "DeleteObject", "CreateSignedURL"} {
		unary("generated.ObjectStore", name, "ObjectStore."+name, named)
	}
	volume := named.Bytes(2, []byte(`{"kind":"PersistentVolume"}`))
	for _, name := range []string{"Init", "CreateVolumeFromSnapshot", "GetVolumeInfo", "CreateSnapshot", "DeleteSnapshot"} {
		unary("generated.VolumeSnapshotter", name, "VolumeSnapshotter."+name, named)
	}
	for _, name := range []string{"GetVolumeID", "SetVolumeID"} {
		unary("generated.VolumeSnapshotter", name, "VolumeSnapshotter."+name, volume)
	}
	item := named.Text(2, `{"kind":"Pod"}`).Text(3, `{}`).Text(4, `{}`)
	operation := named.Text(2, "operation").Text(3, `{}`)
	for _, service := range []string{"generated.BackupItemAction", "v2.BackupItemAction"} {
		unary(service, "AppliesTo", "AppliesTo", named)
		unary(service, "Execute", "Backup", item)
	}
	unary("v2.BackupItemAction", "Progress", "BackupProgress", operation)
	unary("v2.BackupItemAction", "Cancel", "CancelBackup", operation)
	for _, service := range []string{"generated.RestoreItemAction", "v2.RestoreItemAction"} {
		unary(service, "AppliesTo", "AppliesTo", named)
		unary(service, "Execute", "Restore", item)
	}
	unary("v2.RestoreItemAction", "Progress", "RestoreProgress", operation)
	unary("v2.RestoreItemAction", "Cancel", "CancelRestore", operation)
	unary("v2.RestoreItemAction", "AreAdditionalItemsReady", "ItemsReady", named.Text(2, `{}`))
	unary("generated.DeleteItemAction", "AppliesTo", "AppliesTo", named)
	unary("generated.DeleteItemAction", "Execute", "Delete", item)
	unary("v1.ItemBlockAction", "AppliesTo", "AppliesTo", named)
	unary("v1.ItemBlockAction", "GetRelatedItems", "RelatedItems", item)
	return calls
}
