package plugintest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// stamp is a sound action of every kind.
type stamp struct{}

func (stamp) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{IncludedResources: []string{"configmaps"}, LabelSelector: "app in (a, b),!c"}, nil
}

func (stamp) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	annotate(in.Item)
	return sdk.BackupResult{}, nil
}

func (stamp) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	annotate(in.Item)
	return sdk.RestoreResult{}, nil
}

func (stamp) Delete(context.Context, sdk.DeleteInput) (sdk.DeleteResult, error) {
	return sdk.DeleteResult{}, nil
}

func (stamp) RelatedItems(context.Context, sdk.RelatedItemsInput) (sdk.RelatedItemsResult, error) {
	return sdk.RelatedItemsResult{}, nil
}

func (stamp) BackupProgress(_ context.Context, in sdk.BackupOperation) (sdk.Progress, error) {
	return sdk.Progress{}, fmt.Errorf("operation ID %s is invalid", in.ID)
}

func (stamp) CancelBackup(context.Context, sdk.BackupOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, nil
}

func annotate(item *unstructured.Unstructured) {
	annotations := item.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["example.io/stamp"] = "yes"
	item.SetAnnotations(annotations)
}

// misbehaving does what an item's field do says.
type misbehaving struct {
	stamp
	stdout *os.File // where to print besides; nil is nowhere
}

const misbehavingName = "example.io/misbehave"

var errPanic = errors.New("an error on purpose") // the value of a panic; never changed

func (m misbehaving) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	do, _, _ := unstructured.NestedString(in.Item.Object, "do")
	switch do {
	case "value":
		panic("a value on purpose")
	case "error":
		panic(errPanic)
	case "nil":
		var selector *sdk.Selector
		return sdk.BackupResult{OperationID: selector.LabelSelector}, nil
	case "print":
		flood(os.Stdout)
		if m.stdout != nil {
			fmt.Fprintln(m.stdout, "stray")
		}
		flood(os.Stderr)
	}
	return sdk.BackupResult{}, nil
}

// flood writes 1 MiB, most of it in one line.
func flood(f *os.File) {
	fmt.Fprintln(f, strings.Repeat("stray ", 1<<20/6))
	fmt.Fprintln(f, "1|2|unix|/nowhere|grpc|")
}
