package images

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/registrytree"
)

// world is what the tests share: two clusters, of which Velero serves one at a
// time, and the store.
type world struct {
	store  *stack.MinIO
	one    *site
	velero *stack.Velero
	// account is that of Velero in the first cluster.
	account *account
	// two is the second cluster; it starts in the background.
	two func() (*site, error)
}

var shared = sync.OnceValues(newWorld)

// theWorld returns what the tests share. The first call starts it.
func theWorld(t *testing.T) *world {
	t.Helper()
	w, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newWorld() (*world, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	w := &world{}
	var err error
	if w.store, err = servers.StartMinIO(ctx, stack.MinIOOptions{}); err != nil {
		return nil, err
	}
	start := func() (*site, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		cluster, err := servers.StartControlPlane(ctx)
		if err != nil {
			return nil, err
		}
		return newSite(ctx, cluster)
	}
	if w.one, err = start(); err != nil {
		return nil, err
	}
	w.two = sync.OnceValues(start)
	go func() { _, _ = w.two() }()
	w.velero, w.account, err = startVelero(ctx, w, w.one, "one")
	return w, err
}

// startVelero starts the server in a cluster. It backs up several image streams
// at a time. A bucket that is gone is soon given up, and clean-up removes at once
// what nobody needs.
func startVelero(ctx context.Context, w *world, s *site, name string) (*stack.Velero, *account, error) {
	aws, err := awsPlugin(w.store)
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(servers.Dir(), "account-"+name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, nil, err
	}
	who, err := newAccount(ctx, s.cluster, dir)
	if err != nil {
		return nil, nil, err
	}
	velero, err := servers.StartVelero(ctx, s.cluster, stack.VeleroOptions{
		Server:  release.Server(),
		Plugins: []string{aws, stack.BuiltPlugin("../../..", "velero-plugins")},
		Flags:   serverFlags(),
		Env: []string{"KUBECONFIG=" + who.kubeconfig, imagesEnv,
			"OADP_IMAGE_GC_GRACE=1ms", "AWS_MAX_ATTEMPTS=3"},
	})
	if err != nil {
		return nil, nil, err
	}
	return velero, who, s.registry.PublishCA(ctx, stack.VeleroNamespace)
}

// serverFlags let the server back up four blocks of items at a time, which releases
// before 1.17 do not know.
func serverFlags() []string {
	if release.IsDefault() {
		return []string{"--item-block-worker-count=4"}
	}
	return nil
}

// awsPlugin makes a program that runs the aws plugin with a credential in its
// environment, which Velero and the other plugins do not have: a location
// without a credential of its own keeps backups, and nothing tells the openshift
// plugin how to reach the bucket.
func awsPlugin(store *stack.MinIO) (string, error) {
	plugin, err := filepath.Abs(stack.BuiltPlugin("../../..", "velero-plugin-for-aws"))
	if err != nil {
		return "", err
	}
	path := filepath.Join(servers.Dir(), "velero-plugin-for-aws")
	// Velero starts the program again under the name by which it knows itself.
	script := fmt.Sprintf("#!/usr/bin/env bash\nexport AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\nexec -a \"$0\" '%s' \"$@\"\n",
		store.AccessKey, store.SecretKey, plugin)
	return path, os.WriteFile(path, []byte(script), 0o755)
}

// newLocation adds a location with a credential of its own for the time of a
// test. It goes before its bucket does, which Velero would report as a fault.
func (w *world) newLocation(ctx context.Context, t *testing.T, location stack.Location) {
	t.Helper()
	addLocation(ctx, t, w.velero, location)
}

func addLocation(ctx context.Context, t *testing.T, velero *stack.Velero, location stack.Location) {
	t.Helper()
	must(t, velero.AddLocation(ctx, location))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := velero.RemoveLocation(ctx, location.Name); err != nil {
			t.Error(err)
		}
	})
}

// location is one that keeps backups below a prefix of a bucket. Images are at
// the bucket's root.
func (w *world) location(name, bucket string) stack.Location {
	l := w.store.S3Location(name, bucket)
	l.Prefix = "velero/" + name
	return l
}

// backup backs up the image streams of a namespace, and all must be well.
func backup(ctx context.Context, t *testing.T, velero *stack.Velero, name, location, namespace string) {
	t.Helper()
	object, err := velero.Backup(ctx, name, imageStreams(location, namespace))
	must(t, err)
	mustComplete(ctx, t, velero, object)
}

// imageStreams is the specification of a backup of the image streams of a
// namespace.
func imageStreams(location, namespace string) map[string]any {
	return map[string]any{
		"storageLocation": location, "includedNamespaces": []any{namespace}, "includedResources": []any{"imagestreams"},
	}
}

// restore restores a backup, and all must be well.
func restore(ctx context.Context, t *testing.T, velero *stack.Velero, name, from string, mapping map[string]any) {
	t.Helper()
	object, err := velero.Restore(ctx, name, map[string]any{"backupName": from, "namespaceMapping": mapping})
	must(t, err)
	mustComplete(ctx, t, velero, object)
}

func mustComplete(ctx context.Context, t *testing.T, velero *stack.Velero, object *unstructured.Unstructured) {
	t.Helper()
	if phase := stack.Phase(object); phase != "Completed" {
		kind := strings.ToLower(object.GetKind())
		for _, line := range complaints(ctx, t, velero, object) {
			t.Log(line)
		}
		t.Fatalf("%s %s is %s: %v", kind, object.GetName(), phase, object.Object["status"])
	}
}

// complaints are the errors and warnings in the log of a backup or restore.
func complaints(ctx context.Context, t *testing.T, velero *stack.Velero, object *unstructured.Unstructured) []string {
	t.Helper()
	logs, err := velero.CLI(ctx, strings.ToLower(object.GetKind()), "logs", object.GetName(), "--insecure-skip-tls-verify")
	must(t, err)
	var found []string
	for line := range strings.Lines(logs) {
		if strings.Contains(line, `"level":"error"`) || strings.Contains(line, `"level":"warning"`) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// tree reads what a bucket has of images, all of which must be whole.
func (w *world) tree(ctx context.Context, t *testing.T, bucket string) *registrytree.Tree {
	t.Helper()
	client, err := w.store.Client(w.store.TLSEndpoint)
	must(t, err)
	tree, err := registrytree.Read(ctx, client, bucket)
	must(t, err)
	for _, problem := range tree.Check() {
		t.Error(problem)
	}
	return tree
}

// mustHaveDecentLog expects no panic in the server's log, which the plugins write
// to as well, and none of the secrets that they know.
func (w *world) mustHaveDecentLog(t *testing.T) {
	t.Helper()
	log, err := os.ReadFile(w.velero.LogPath)
	must(t, err)
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "panic") || strings.Contains(line, "goroutine ") {
			t.Error(strings.TrimSpace(line))
		}
		for _, secret := range append(w.account.tokens, w.store.SecretKey) {
			if strings.Contains(line, secret) {
				t.Error("a secret is in the log: " + strings.TrimSpace(strings.ReplaceAll(line, secret, "SECRET")))
			}
		}
	}
}

func (w *world) logEnd(t *testing.T) int64 {
	t.Helper()
	end, err := w.velero.LogEnd()
	must(t, err)
	return end
}

// mustHaveCleanLog expects of the server's log from an offset on no error but
// those that have one of the given parts, and of all plugins that they have ended
// well.
func mustHaveCleanLog(ctx context.Context, t *testing.T, velero *stack.Velero, from int64, but ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	runs, err := velero.PluginRuns(ctx, from)
	must(t, err)
	for _, fault := range runs.Faults {
		if !slices.ContainsFunc(but, func(part string) bool { return strings.Contains(fault, part) }) {
			t.Error(fault)
		}
	}
}
