package plugintest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// actionRows are about actions on items.
func actionRows() []Row {
	return []Row{{
		ID: "action.result", Level: Must, Name: "returned item",
		Contract:    "the item that an action returns is an object with a kind, and fields that the action does not know and integers beyond 2^53 are as they were",
		Consequence: "fields of the object are missing from the backup or have another value in the restore",
		needs:       []need{actions},
		run:         returnedItem,
	}, {
		ID: "action.applies-to", Level: Must, Name: "selector",
		Contract:    "AppliesTo answers twice with the same selector, and its label selector can be parsed",
		Consequence: "the whole backup or restore fails before its first item",
		needs:       []need{actions},
		run:         selectors,
	}, {
		ID: "action.restored-namespaces", Level: Should, Name: "restore of namespaces",
		Contract:    "no action on restored items selects namespaces by name of the resource, since Velero 1.18 and later restore namespaces before they run any action",
		Consequence: "the action never sees a namespace, and what it does to namespaces is not done",
		needs:       []need{restoreActions},
		run:         restoredNamespaces,
	}, {
		ID: "action.large-item", Level: Should, Name: "large items",
		Contract:    "items of 5 MiB are accepted by every action, and one of 20 MiB comes back whole",
		Consequence: "objects of a few MiB are missing from the backup, or cannot be restored",
		needs:       []need{actions},
		run:         largeItems,
	}}
}

// actionsOf returns the actions that the plugin lists, to be called.
func (s *session) actionsOf(p *host.Plugin) []wire.Action {
	var all []wire.Action
	for _, o := range s.actions() {
		all = append(all, wire.Action{Conn: p.Conn, Kind: o.kind, Name: o.name})
	}
	return all
}

// backupFor returns the Backup or Restore that goes with an item.
func backupFor(kind wire.Kind) []byte { return ownerInPhase(kind, "InProgress") }

func ownerInPhase(kind wire.Kind, phase string) []byte {
	owner, spec := "Backup", `{"storageLocation":"default"}`
	if kind.Version1() == wire.RestoreItemAction {
		owner, spec = "Restore", `{"backupName":"plugintest"}`
	}
	return []byte(`{"apiVersion":"velero.io/v1","kind":"` + owner + `","metadata":{"name":"plugintest","namespace":"velero"},` +
		`"spec":` + spec + `,"status":{"phase":"` + phase + `"}}`)
}

// sampleItem is the item for actions for which Plugin.Items has none.
const sampleItem = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"plugintest","namespace":"plugintest",` +
	`"uid":"8c6b1a1e-1b1c-4b7e-9f57-6b1d0c6a7f10","labels":{"app":"plugintest"},"annotations":{"note":"a<b>&\"c\" \u00fc \ud83d\ude00"}},` +
	`"data":{"key":"value"}}`

// probeField is put into each sample; no action knows it.
const (
	probeField = "xPlugintest"
	probe      = `{"big":9007199254740993,"least":-9223372036854775808,"greatest":9223372036854775807,"half":0.5,` +
		`"null":null,"empty":{},"list":[[],[{}],""],"text":"<&>\u2028\ud83d\ude00"}`
)

// samples returns the items for an action, each with the probe.
func (s *Suite) samples(name string) ([][]byte, error) {
	raw := s.plugin.Items[name]
	if len(raw) == 0 {
		raw = []json.RawMessage{json.RawMessage(sampleItem)}
	}
	var items [][]byte
	for i, item := range raw {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(item, &fields); err != nil {
			return nil, fmt.Errorf("sample %d for %s: %w", i, name, err)
		}
		fields[probeField] = json.RawMessage(probe)
		with, err := json.Marshal(fields)
		if err != nil {
			return nil, err
		}
		items = append(items, with)
	}
	return items, nil
}

// checkItems hands all samples to an action and judges what it returns.
func (s *Suite) checkItems(ctx context.Context, a wire.Action) error {
	items, err := s.samples(a.Name)
	if err != nil {
		return err
	}
	for _, item := range items {
		got, err := a.Execute(ctx, item, backupFor(a.Kind))
		if err != nil {
			return err
		}
		if !a.ReturnsItem() {
			continue
		}
		if err := checkReturned(got.Item); err != nil {
			return err
		}
	}
	return nil
}

func checkReturned(item []byte) error {
	if err := hasKind(item); err != nil {
		return err
	}
	fields, err := decode(item)
	if err != nil {
		return err
	}
	want, err := decode([]byte(probe))
	if err != nil {
		return err
	}
	got, _ := fields[probeField].(map[string]any)
	if reflect.DeepEqual(got, want) {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !reflect.DeepEqual(got[name], want[name]) {
			return fmt.Errorf("the field %s.%s was %v and is %v", probeField, name, want[name], got[name])
		}
	}
	return fmt.Errorf("the field %s has grown: %v", probeField, got)
}

// hasKind returns an error unless a returned item is an object with a kind.
func hasKind(item []byte) error {
	fields, err := decode(item)
	if err != nil {
		return fmt.Errorf("the returned item %.100q: %w", item, err)
	}
	if kind, _ := fields["kind"].(string); kind == "" {
		return errors.New("the returned item has no kind")
	}
	return nil
}

// decode keeps numbers as they are written.
func decode(data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var fields map[string]any
	return fields, d.Decode(&fields)
}

func returnedItem(ctx context.Context, s *session) error {
	return s.eachAction(ctx, func(_ *host.Plugin, a wire.Action) error { return s.checkItems(ctx, a) })
}

func selectors(ctx context.Context, s *session) error {
	return s.eachAction(ctx, func(_ *host.Plugin, a wire.Action) error { return checkSelector(ctx, a) })
}

func checkSelector(ctx context.Context, a wire.Action) error {
	first, err := a.AppliesTo(ctx)
	if err != nil {
		return err
	}
	second, err := a.AppliesTo(ctx)
	if err != nil {
		return err
	}
	if !proto.Equal(first, second) {
		return fmt.Errorf("first %v, then %v", first, second)
	}
	if _, err := labels.Parse(first.GetSelector()); err != nil {
		return fmt.Errorf("the label selector %q: %w", first.GetSelector(), err)
	}
	return nil
}

func restoredNamespaces(ctx context.Context, s *session) error {
	return s.eachAction(ctx, func(_ *host.Plugin, a wire.Action) error {
		if a.Kind.Version1() != wire.RestoreItemAction {
			return nil
		}
		selector, err := a.AppliesTo(ctx)
		if err != nil {
			return err
		}
		for _, resource := range selector.GetIncludedResources() {
			if slices.Contains([]string{"namespaces", "namespace", "ns"}, strings.ToLower(resource)) {
				return fmt.Errorf("it selects the resource %s", resource)
			}
		}
		return nil
	})
}

func largeItems(ctx context.Context, s *session) error {
	huge := false // the huge item has come back; one action is enough to check messages of this size
	return s.eachAction(ctx, func(_ *host.Plugin, a wire.Action) error {
		if !huge && a.ReturnsItem() {
			huge = true
			if err := s.largeItem(ctx, a, 20<<20); err != nil {
				return fmt.Errorf("20 MiB: %w", err)
			}
		}
		if err := s.largeItem(ctx, a, 5<<20); err != nil {
			return fmt.Errorf("5 MiB: %w", err)
		}
		return nil
	})
}

func (s *session) largeItem(ctx context.Context, a wire.Action, size int) error {
	items, err := s.samples(a.Name)
	if err != nil {
		return err
	}
	padding := strings.Repeat("0123456789abcdef", size/16)
	item := slices.Concat([]byte(`{"xPadding":"`+padding+`",`), bytes.TrimSpace(items[0])[1:])
	got, err := a.Execute(ctx, item, backupFor(a.Kind))
	if err != nil || !a.ReturnsItem() {
		return err
	}
	if !bytes.Contains(got.Item, []byte(padding)) {
		return fmt.Errorf("the item came back with %d bytes of %d", len(got.Item), len(item))
	}
	return checkReturned(got.Item)
}
