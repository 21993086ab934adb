package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// ownNameField is the field of a network's configuration with the name of the
// NetworkAttachmentDefinition itself: NAMESPACE/NAME.
const ownNameField = "netAttachDefName"

// restoreNetwork turns the namespace in the configuration of a network to the one
// that is restored to.
func restoreNetwork(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	spec := fields.MapAt(in.Item.Object, "spec")
	config := fields.TextAt(spec, "config")
	if config == "" {
		return sdk.RestoreResult{}, nil
	}
	mapped, err := mapOwnName(config, in.Restore.TargetNamespace)
	if err != nil {
		slog.Warn("the configuration of a network is no JSON, and is restored as it is", "item", fields.Describe(in.Item), "error", err)
		return sdk.RestoreResult{}, nil
	}
	spec["config"] = mapped
	return sdk.RestoreResult{}, nil
}

// mapOwnName replaces the namespace of a configuration's own name and leaves every
// other byte of it alone.
func mapOwnName(config string, target func(string) string) (string, error) {
	if !json.Valid([]byte(config)) {
		return "", errors.New("invalid JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(config)))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return config, err
	}
	for decoder.More() {
		field, err := decoder.Token()
		if err != nil {
			return "", err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return "", err
		}
		var name string
		if field != ownNameField || json.Unmarshal(value, &name) != nil {
			continue
		}
		namespace, rest, qualified := strings.Cut(name, "/")
		if !qualified || target(namespace) == namespace {
			return config, nil
		}
		text, err := json.Marshal(target(namespace) + "/" + rest)
		if err != nil {
			return "", err
		}
		end := int(decoder.InputOffset())
		return config[:end-len(value)] + string(text) + config[end:], nil
	}
	return config, nil
}

// restoreAddressClaim leaves the address claims of virtual machines to their
// controller: it takes over no claim that does not belong to the restored
// machine, whose UID is new.
func restoreAddressClaim(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	return sdk.RestoreResult{Skip: fields.HasLabel(in.Item, addressClaimMachineLabel)}, nil
}
