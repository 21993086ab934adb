package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/internal/imagebuild"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const (
	// keepRunning is the command of the process that keeps the servers running.
	// It takes one of the two that follow, and the plugins.
	keepRunning = "keep-running"
	withNode    = "with-node"
	withoutNode = "without-node"
	// published servers: the API server, both MinIO endpoints and consoles.
	published = 5
	// bucket is the one of the default backup storage location.
	bucket = "velero"
	// account is the file, in the run's folder, that tells how to reach it all.
	account = "account.txt"
)

// up starts the servers in the background and tells how to reach them.
func up(ctx context.Context, plugins string, node bool) error {
	if stack.DetachedRunning() {
		fmt.Print("already up\n\n")
		return printAccount()
	}
	paths, err := executables(plugins)
	if err != nil {
		return err
	}
	// Built here, where progress is seen.
	if _, err := tools.Ensure(ctx, os.Stderr, needs(node)...); err != nil {
		return err
	}
	log, err := os.CreateTemp("", "oadp-stack-up-*.log")
	if err != nil {
		return err
	}
	defer log.Close()
	defer os.Remove(log.Name())
	self, err := os.Executable()
	if err != nil {
		return err
	}
	mode := withoutNode
	if node {
		mode = withNode
	}
	cmd := exec.Command(self, append([]string{keepRunning, mode}, paths...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	return awaitAccount(ctx, ended, log.Name())
}

// awaitAccount waits until the servers run, and prints the account.
func awaitAccount(ctx context.Context, ended <-chan struct{}, log string) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err := printAccount(); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-ended:
			text, err := os.ReadFile(log)
			return errors.Join(fmt.Errorf("the servers did not start:\n%s", text), err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), stack.StopDetached(context.WithoutCancel(ctx), stopGrace))
		case <-ticker.C:
		}
	}
}

func printAccount() error {
	text, err := os.ReadFile(filepath.Join(stack.DetachedDir(), account))
	if err != nil {
		return err
	}
	fmt.Print(string(text))
	return nil
}

// executables returns the plugins in a folder.
func executables(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("no plugins: %w; build them with make build", err)
	}
	var paths []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			path, err := filepath.Abs(filepath.Join(dir, entry.Name()))
			if err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no plugins in %s; build them with make build", dir)
	}
	return paths, nil
}

func needs(node bool) []tools.Tool {
	if node {
		return slices.Concat(tools.Core(), tools.Node())
	}
	return tools.Core()
}

// serve runs the servers until it is told to end.
func serve(ctx context.Context, plugins []string, node bool) error {
	var servers stack.Stack
	servers.Enter(stack.Entry{Needs: needs(node), Detached: true, Published: published})
	defer servers.Close()
	text, err := start(ctx, &servers, plugins, node)
	if err != nil {
		return err
	}
	complete := filepath.Join(servers.Dir(), account)
	partial := complete + ".partial"
	if err := errors.Join(os.WriteFile(partial, []byte(text), 0o600), os.Rename(partial, complete)); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// start starts the servers and returns the account of them.
func start(ctx context.Context, servers *stack.Stack, plugins []string, node bool) (string, error) {
	cluster, err := servers.StartControlPlane(ctx)
	if err != nil {
		return "", err
	}
	store, err := servers.StartMinIO(ctx, stack.MinIOOptions{Console: true})
	if err != nil {
		return "", err
	}
	client, err := store.Client(store.TLSEndpoint)
	if err != nil {
		return "", err
	}
	if err := client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: stack.Region}); err != nil {
		return "", err
	}
	location := store.S3Location("default", bucket)
	location.Default = true
	velero, err := startVelero(ctx, servers, cluster, location, plugins, node)
	if err != nil {
		return "", err
	}
	text, err := describe(servers, cluster, store, velero)
	if err != nil {
		return "", err
	}
	file, credential, err := location.WriteFiles(servers.Dir())
	if err != nil {
		return "", err
	}
	text += "\nTry: velero backup-location get\n"
	for _, plugin := range plugins {
		if filepath.Base(plugin) == "velero-plugin-for-aws" {
			text += fmt.Sprintf("     %s check --location %s --credentials-file %s\n", plugin, file, credential)
		}
	}
	return text + "Stop it all with: make stack-down\n", nil
}

func startVelero(ctx context.Context, servers *stack.Stack, cluster *stack.ControlPlane, location stack.Location, plugins []string, node bool) (*stack.VeleroClient, error) {
	if node {
		return startVeleroInPods(ctx, servers, cluster, location, plugins)
	}
	velero, err := servers.StartVelero(ctx, cluster, stack.VeleroOptions{Plugins: plugins, Locations: []stack.Location{location}})
	if err != nil {
		return nil, err
	}
	return &velero.VeleroClient, nil
}

// startVeleroInPods starts a node and installs Velero on it, with an image for
// each plugin.
func startVeleroInPods(ctx context.Context, servers *stack.Stack, cluster *stack.ControlPlane, location stack.Location, plugins []string) (*stack.VeleroClient, error) {
	node, err := servers.StartNode(ctx, cluster)
	if err != nil {
		return nil, err
	}
	endpoint, err := node.Expose(location.Config["s3Url"])
	if err != nil {
		return nil, err
	}
	location.Config = maps.Clone(location.Config)
	// What Velero's command line downloads comes from where that runs.
	location.Config["publicUrl"], location.Config["s3Url"] = location.Config["s3Url"], endpoint
	var images []string
	for _, plugin := range plugins {
		program := "/" + filepath.Base(plugin)
		image, err := node.AddImage(ctx, filepath.Base(plugin), "test", imagebuild.Image{
			Files:      []imagebuild.File{{Path: program, Source: plugin}},
			Entrypoint: []string{program, "install", "/target"},
		})
		if err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	return node.InstallVelero(ctx, stack.VeleroInPods{Plugins: images, Location: location})
}

func describe(servers *stack.Stack, cluster *stack.ControlPlane, store *stack.MinIO, velero *stack.VeleroClient) (string, error) {
	enter, err := stack.DetachedEntrance()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintln(&b, "These work from any shell and browser of this machine:")
	fmt.Fprintln(&b)
	fmt.Fprintf(&b, "export KUBECONFIG=%s\n", cluster.Kubeconfig)
	fmt.Fprintf(&b, "alias velero=%s\n", velero.Binary)
	fmt.Fprintln(&b)
	line("API server", "%s", cluster.Config.Host)
	line("MinIO", "%s, region %s, certificate authority %s", store.TLSEndpoint, stack.Region, store.CAFile)
	line("", "Velero's backups are here, in the bucket %q", bucket)
	line("  console", "%s", store.TLSConsole)
	line("MinIO, plain", "%s", store.Endpoint)
	line("  console", "%s", store.Console)
	line("  user", "%s", store.AccessKey)
	line("  password", "%s", store.SecretKey)
	line("KMS key", "%s, at the TLS endpoint", store.KMSKeyID)
	line("logs", "%s", filepath.Join(servers.Dir(), "logs"))
	if enter != "" {
		line("namespaces", "%s", enter)
	}
	return b.String(), nil
}
