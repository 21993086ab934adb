package azuredisk

import (
	"errors"
	"log/slog"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// csiDriver is the driver whose volume handles are the ids of managed disks.
const csiDriver = "disk.csi.azure.com"

// idOf returns the name of the managed disk behind a PersistentVolume, "" when
// there is none, and remembers where the disk is.
func (v *volumes) idOf(pv *unstructured.Unstructured, log *slog.Logger) (string, error) {
	if source := object(pv, "spec", "csi"); source != nil {
		driver := text(source, "driver")
		if driver == csiDriver {
			return v.nameIn(text(source, "volumeHandle")), nil
		}
		log.Info("the CSI driver of the persistent volume is not the one of managed disks", "persistentVolume", pv.GetName(), "driver", driver)
	}
	source := object(pv, "spec", "azureDisk")
	if source == nil {
		return "", nil
	}
	name, uri := text(source, "diskName"), strings.TrimSpace(text(source, "diskURI"))
	if name == "" {
		return "", unsupported("error reading", pv, "spec.azureDisk.diskName not found")
	}
	if kind := text(source, "kind"); kind != "" && kind != "Managed" || strings.HasPrefix(uri, "https://") && strings.HasSuffix(uri, ".vhd") {
		log.Warn("the persistent volume is on an unmanaged disk, of which no snapshot can be taken", "persistentVolume", pv.GetName(), "disk", name)
		return "", nil
	}
	if m := diskID.FindStringSubmatch(uri); m != nil && strings.EqualFold(m[3], name) {
		v.note(name, place{m[1], m[2]})
	}
	return name, nil
}

// nameIn returns the name of the disk in a volume handle, and remembers its place.
func (v *volumes) nameIn(handle string) string {
	handle = strings.TrimSpace(handle)
	if m := diskID.FindStringSubmatch(handle); m != nil {
		v.note(m[3], place{m[1], m[2]})
		return m[3]
	}
	if m := anyDiskID.FindStringSubmatch(handle); m != nil {
		return m[1]
	}
	return ""
}

// SetVolumeID makes a PersistentVolume use another disk.
func (c *compute) SetVolumeID(pv *unstructured.Unstructured, name string) error {
	at, err := c.disksPlace()
	if err != nil {
		return explain("error setting the disk of persistent volume "+pv.GetName(), err)
	}
	id := at.id(diskType, name)
	if source := object(pv, "spec", "csi"); source != nil {
		if driver := text(source, "driver"); driver != csiDriver {
			return unsupported("error setting", pv, "unable to handle CSI driver: "+driver)
		}
		source["volumeHandle"] = id
		return nil
	}
	source := object(pv, "spec", "azureDisk")
	if source == nil {
		return unsupported("error setting", pv, "spec.csi and spec.azureDisk not found")
	}
	source["diskName"], source["diskURI"] = name, id
	return nil
}

func unsupported(what string, pv *unstructured.Unstructured, cause string) error {
	return &fault.Error{Code: CodePersistentVolume, What: what + " the disk of persistent volume " + pv.GetName(), Err: errors.New(cause)}
}

// object returns an object inside of another, without a copy, or nil.
func object(pv *unstructured.Unstructured, fields ...string) map[string]any {
	value, _, err := unstructured.NestedFieldNoCopy(pv.Object, fields...)
	if err != nil {
		return nil
	}
	m, _ := value.(map[string]any)
	return m
}

// text returns a field of an object, "" when it is absent or no text.
func text(m map[string]any, field string) string {
	s, _ := m[field].(string)
	return s
}
