package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The identity of a machine are its MAC and IP addresses and the UUID of its
// firmware. A restore keeps what the backup has, and makes it new on request:
// together with velero.kubevirt.io/network-identity, or MAC and UUID by
// themselves with the labels that the replaced plugin has.

// applyIdentity changes the identity of a machine or an instance. template is
// what has metadata and spec: spec.template of a machine, the item itself if it
// is an instance. recorded are the addresses that the backup has noted.
func applyIdentity(r *restoreSpec, restore sdk.Restore, item *unstructured.Unstructured, template fields.Map, recorded string) error {
	identity := r.Metadata.Labels[networkIdentityLabel]
	clearMAC, newUUID := r.isOn(clearMACLabel), r.isOn(newUUIDLabel)
	switch identity {
	case "":
	case newIdentity:
		clearMAC, newUUID = true, true
	case keepIdentity:
		if clearMAC || newUUID {
			return badOption(networkIdentityLabel, identity, "it contradicts "+clearMACLabel+" and "+newUUIDLabel)
		}
		keepAddresses(item, template, recorded)
	default:
		return badOption(networkIdentityLabel, identity, "want "+keepIdentity+" or "+newIdentity)
	}
	spec := fields.MapAt(template, "spec")
	if clearMAC {
		clearAddresses(template, spec)
	}
	if newUUID {
		setUUID(spec)
	}
	if restore.TargetNamespace(item.GetNamespace()) != item.GetNamespace() && identity != keepIdentity {
		warnOfIdentity(item, spec)
	}
	return nil
}

// clearAddresses takes MAC addresses off, and the annotations with which CNI
// plugins pin addresses of pods.
func clearAddresses(template, spec fields.Map) {
	for i := range fields.Each(fields.ListAt(spec, "domain", "devices", "interfaces")) {
		delete(i, "macAddress")
	}
	annotations := fields.MapAt(template, "metadata", "annotations")
	for key := range annotations {
		if isPinnedAddress(key) {
			delete(annotations, key)
		}
	}
}

func isPinnedAddress(key string) bool {
	for _, pinned := range pinnedAddressKeys {
		if key == pinned {
			return true
		}
	}
	for _, suffix := range pinnedAddressSuffixes {
		if strings.HasSuffix(key, suffix) {
			return true
		}
	}
	return false
}

// setUUID gives the firmware a random UUID.
func setUUID(spec fields.Map) {
	domain := fields.Child(spec, "domain")
	if firmware := fields.Child(domain, "firmware"); firmware != nil {
		firmware["uuid"] = randomUUID()
	}
}

// randomUUID returns a UUID of version 4.
func randomUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// keepAddresses asks the network for the addresses that the machine had in the
// primary network of its namespace, for example {"default":["10.0.0.5/24"]}.
func keepAddresses(item *unstructured.Unstructured, template fields.Map, recorded string) {
	if recorded == "" {
		slog.Warn("the backup has no addresses of the virtual machine, and the network gives it what it has", "item", fields.Describe(item))
		return
	}
	var known addresses
	if err := json.Unmarshal([]byte(recorded), &known); err != nil {
		slog.Warn("the recorded addresses of the virtual machine cannot be read, and the network gives it what it has",
			"item", fields.Describe(item), "annotation", recordedAddressesKey, "error", err)
		return
	}
	if annotations := fields.Child(fields.Child(template, "metadata"), "annotations"); annotations != nil {
		annotations[requestedAddressesKey] = recorded
	}
}

// warnOfIdentity says what a machine that is restored beside the original has in
// common with it.
func warnOfIdentity(item *unstructured.Unstructured, spec fields.Map) {
	var same []string
	for i := range fields.Each(fields.ListAt(spec, "domain", "devices", "interfaces")) {
		if mac := fields.TextAt(i, "macAddress"); mac != "" {
			same = append(same, "MAC address "+mac)
		}
	}
	if serial := fields.TextAt(spec, "domain", "firmware", "serial"); serial != "" {
		same = append(same, "firmware serial "+serial)
	}
	if len(same) > 0 {
		slog.Warn("the virtual machine is restored into another namespace with the identity of the original; label the Restore "+
			networkIdentityLabel+"="+newIdentity+" if both are to run, and change a serial number by hand",
			"item", fields.Describe(item), "same", strings.Join(same, ", "))
	}
}
