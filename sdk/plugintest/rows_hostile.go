package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// hostileRows are about actions that get objects of another form than they expect,
// as any user of a cluster can write them.
func hostileRows() []Row {
	return []Row{{
		ID: "action.hostile-item", Level: Must, Name: "malformed items",
		Contract:    "an item with absent fields, values of a wrong type, huge or odd values is an error or comes back as an object with a kind, and is never a panic",
		Consequence: "one odd object in the cluster makes every backup fail, or ends the Velero server with a nil item",
		needs:       []need{actions},
		run:         hostileItems,
	}, {
		ID: "action.hostile-owner", Level: Must, Name: "malformed backups and restores",
		Contract:    "a Backup or Restore with absent fields or values of a wrong type, or that is no object, is never a panic",
		Consequence: "an action that is called by a newer or older Velero fails at every item",
		needs:       []need{actions},
		run:         hostileOwners,
	}, {
		ID: "action.items-ready", Level: Must, Name: "additional items",
		Contract:    "AreAdditionalItemsReady of no items, of items that are not there and of an odd Restore answers promptly and never with a panic, and of a name that is not registered with an error",
		Consequence: "a restore that waits for additional items stands still until its timeout, or its plugin dies",
		needs:       []need{readiness},
		run:         itemsReady,
	}}
}

func readiness(s *Suite) string {
	if len(s.names(wire.RestoreItemActionV2)) > 0 {
		return ""
	}
	return "the plugin lists no restore action of version 2"
}

// hostile returns items that are made from the samples of an action.
func (s *Suite) hostile(name string) ([]sample, error) {
	items, err := s.samples(name)
	if err != nil {
		return nil, err
	}
	found := oddItems()
	for i, item := range items {
		variants, err := distorted(item, 3)
		if err != nil {
			return nil, err
		}
		for _, v := range variants {
			found = append(found, sample{fmt.Sprintf("sample %d with %s", i, v.about), v.json})
		}
		padding := []byte(`{"xPadding":` + strings.Repeat(`{"a":`, deep) + "null" + strings.Repeat("}", deep) + ",")
		found = append(found,
			sample{fmt.Sprintf("sample %d with objects in objects", i), slices.Concat(padding, bytes.TrimSpace(item)[1:])},
			sample{fmt.Sprintf("sample %d with duplicate keys", i), slices.Concat([]byte(`{"kind":"Other","metadata":null,`), bytes.TrimSpace(item)[1:])})
	}
	return found, nil
}

// deep is a depth of nesting that Kubernetes accepts.
const deep = 2000

func oddItems() []sample {
	configMap := func(metadata string) []byte {
		return []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":` + metadata + `,"data":{}}`)
	}
	return []sample{
		{"an item of a kind only", []byte(`{"kind":"Pod"}`)},
		{"an item without metadata", []byte(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{}]}}`)},
		{"an item with a name of 253 characters", configMap(`{"name":"` + strings.Repeat("a", 253) + `","namespace":"b"}`)},
		{"an item with an annotation of 1 MiB", configMap(`{"name":"a","annotations":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`)},
		{"an item with bytes that are no UTF-8", configMap("{\"name\":\"a\xff\xfe\",\"labels\":{\"\xc3\":\"\xed\xa0\x80\"}}")},
		{"an item with half a surrogate", configMap(`{"name":"a\ud800","namespace":"\u0000"}`)},
		{"a list", []byte(`{"apiVersion":"v1","kind":"List","items":[null,7,{}]}`)},
	}
}

func hostileItems(ctx context.Context, s *session) error {
	return s.eachAction(ctx, func(p *host.Plugin, a wire.Action) error {
		items, err := s.hostile(a.Name)
		if err != nil {
			return err
		}
		for _, item := range items {
			got, err := a.Execute(ctx, item.json, backupFor(a.Kind))
			if err := panicked(err); err != nil {
				return fmt.Errorf("%s: %w", item.about, err)
			}
			if err == nil && a.ReturnsItem() {
				if err := hasKind(got.Item); err != nil {
					return fmt.Errorf("%s: %w", item.about, err)
				}
			}
			if err := alive(ctx, p); err != nil {
				return fmt.Errorf("after %s: %w", item.about, err)
			}
		}
		return nil
	})
}

func hostileOwners(ctx context.Context, s *session) error {
	return s.eachAction(ctx, func(p *host.Plugin, a wire.Action) error {
		items, err := s.samples(a.Name)
		if err != nil {
			return err
		}
		owners, err := distorted(backupFor(a.Kind), 3)
		if err != nil {
			return err
		}
		for _, text := range []string{"", "null", "[]", "7", "{", "{}", "\x00"} {
			owners = append(owners, sample{fmt.Sprintf("%q", text), []byte(text)})
		}
		for _, owner := range owners {
			_, err := a.Execute(ctx, items[0], owner.json)
			if err := errors.Join(panicked(err), alive(ctx, p)); err != nil {
				return fmt.Errorf("with the Backup or Restore %s: %w", owner.about, err)
			}
		}
		return nil
	})
}

// eachAction starts the plugin and calls check for all of its actions.
func (s *session) eachAction(ctx context.Context, check func(*host.Plugin, wire.Action) error) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range s.actionsOf(p) {
		if err := check(p, a); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", a.Kind, a.Name, err))
		}
		if alive(ctx, p) != nil {
			break // its error is among the others
		}
	}
	return errors.Join(errs...)
}

func itemsReady(ctx context.Context, s *session) error {
	return s.eachAction(ctx, func(p *host.Plugin, a wire.Action) error {
		if a.Kind != wire.RestoreItemActionV2 {
			return nil
		}
		unknown := a
		unknown.Name = noSuchName
		if _, err := unknown.Ready(ctx, nil, backupFor(a.Kind)); err == nil {
			return errors.New("a name that is not registered is answered without an error")
		}
		return checkReadiness(ctx, p, a)
	})
}

func checkReadiness(ctx context.Context, p *host.Plugin, a wire.Action) error {
	ctx, cancel := context.WithTimeoutCause(ctx, prompt, errors.New("no prompt answer"))
	defer cancel()
	absent := &abi.ResourceIdentifier{Group: "apps", Resource: "deployments", Namespace: "plugintest", Name: "absent"}
	for _, items := range [][]*abi.ResourceIdentifier{nil, {{}}, {absent}, {absent, absent, {Resource: "\u0000/../"}}} {
		for _, restore := range [][]byte{backupFor(a.Kind), nil, []byte("null"), []byte("{"), []byte("[]")} {
			_, err := a.Ready(ctx, items, restore)
			if err := errors.Join(context.Cause(ctx), panicked(err), alive(ctx, p)); err != nil {
				return fmt.Errorf("of %d items with the Restore %.40q: %w", len(items), restore, err)
			}
		}
	}
	return nil
}
