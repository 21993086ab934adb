package plugintest_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// copying is an action whose operations are completed a second after they have
// begun. All that it has to know about one is in its id.
type copying struct {
	stamp
	fault string

	mu    sync.Mutex
	known map[string]bool // used by the faults of an action that forgets
}

const copyName = "example.io/copy"

func (c *copying) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	if do, _, _ := unstructured.NestedString(in.Item.Object, "do"); do != "copy" || c.fault == "begins no operation" {
		return sdk.BackupResult{}, nil
	}
	if c.fault != "copies again at the end" && finalizing(in.Backup) {
		return sdk.BackupResult{}, nil
	}
	return sdk.BackupResult{OperationID: c.begin()}, nil
}

func finalizing(backup sdk.Backup) bool {
	object, err := backup.Object()
	if err != nil {
		return false
	}
	phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
	return strings.HasPrefix(phase, "Finalizing")
}

func (c *copying) begin() string {
	id := "copy-" + strconv.FormatInt(time.Now().UnixMilli(), 10)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[id] = true
	return id
}

func (c *copying) progress(id string) (sdk.Progress, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began, err := strconv.ParseInt(strings.TrimPrefix(id, "copy-"), 10, 64)
	if err != nil || c.fault == "keeps operations in memory" && !c.known[id] {
		return sdk.Progress{}, fmt.Errorf("operation ID %s is invalid", id)
	}
	p := sdk.Progress{Total: 1, Units: "copies", Started: time.UnixMilli(began), Updated: time.Now()}
	if c.fault == "counts backwards" {
		p.Done = -1
	}
	if time.Since(p.Started) > time.Second {
		p.Completed, p.Done = true, 1
	}
	return p, nil
}

func (c *copying) cancel(ctx context.Context) error {
	if c.fault == "waits in Cancel" {
		<-ctx.Done()
	}
	return nil
}

func (c *copying) BackupProgress(_ context.Context, in sdk.BackupOperation) (sdk.Progress, error) {
	return c.progress(in.ID)
}

func (c *copying) CancelBackup(ctx context.Context, _ sdk.BackupOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, c.cancel(ctx)
}

func (c *copying) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	if do, _, _ := unstructured.NestedString(in.Item.Object, "do"); do != "copy" {
		return sdk.RestoreResult{}, nil
	}
	return sdk.RestoreResult{OperationID: c.begin()}, nil
}

func (c *copying) RestoreProgress(_ context.Context, in sdk.RestoreOperation) (sdk.Progress, error) {
	return c.progress(in.ID)
}

func (c *copying) CancelRestore(ctx context.Context, _ sdk.RestoreOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, c.cancel(ctx)
}

func (c *copying) ItemsReady(_ context.Context, in sdk.ItemsReadyInput) (sdk.ItemsReadyResult, error) {
	if c.fault == "expects items" {
		return sdk.ItemsReadyResult{Ready: in.Items[0].Name != ""}, nil
	}
	return sdk.ItemsReadyResult{Ready: true}, nil
}
