package ebs

import (
	"cmp"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// csiDrivers are the drivers whose volume handles are the ids of EBS volumes: the
// one that users install, and the one of EKS Auto Mode.
var csiDrivers = []string{"ebs.csi.aws.com", "ebs.csi.eks.amazonaws.com"}

// Keys of labels and node selectors that have an availability zone as value.
const (
	zoneLabel       = "topology.kubernetes.io/zone"
	legacyZoneLabel = "failure-domain.beta.kubernetes.io/zone"
	csiZoneKey      = "topology.ebs.csi.aws.com/zone"
)

// volumeID returns the id of the EBS volume behind a PersistentVolume, "" when it
// is not one of EBS.
func volumeID(pv *unstructured.Unstructured, log *slog.Logger) (string, error) {
	if source := object(pv, "spec", "csi"); source != nil {
		driver := text(source, "driver")
		if slices.Contains(csiDrivers, driver) {
			return idIn(text(source, "volumeHandle")), nil
		}
		log.Info("the CSI driver of the persistent volume is not one of EBS", "persistentVolume", pv.GetName(), "driver", driver)
	}
	source := object(pv, "spec", "awsElasticBlockStore")
	if source == nil {
		return "", nil
	}
	id := text(source, "volumeID")
	if id == "" {
		return "", unsupported("error reading", pv, "spec.awsElasticBlockStore.volumeID not found")
	}
	return idIn(id), nil
}

// idIn returns the id of a volume from the forms that Kubernetes has for it:
// vol-1 and aws://us-east-1a/vol-1.
func idIn(s string) string {
	if i := strings.Index(s, "vol-"); i >= 0 {
		return s[i:]
	}
	return ""
}

// SetVolumeID makes a PersistentVolume use another volume, in the zone that the
// one of the backup is mapped to.
func (s *settings) SetVolumeID(pv *unstructured.Unstructured, id string) error {
	if source := object(pv, "spec", "csi"); source != nil {
		driver := text(source, "driver")
		if !slices.Contains(csiDrivers, driver) {
			return unsupported("error setting", pv, "unable to handle CSI driver: "+driver)
		}
		s.moveZones(pv)
		source["volumeHandle"] = id
		return nil
	}
	source := object(pv, "spec", "awsElasticBlockStore")
	if source == nil {
		return unsupported("error setting", pv, "spec.csi and spec.awsElasticBlockStore not found")
	}
	s.moveZones(pv)
	labels := object(pv, "metadata", "labels")
	zone := cmp.Or(text(labels, legacyZoneLabel), text(labels, zoneLabel), s.zone(zoneIn(text(source, "volumeID"))))
	if zone != "" {
		// The cluster autoscaler reads the zone of a volume from this form only.
		id = "aws://" + zone + "/" + id
	}
	source["volumeID"] = id
	return nil
}

func unsupported(what string, pv *unstructured.Unstructured, cause string) error {
	return &fault.Error{Code: CodePersistentVolume, What: what + " the volume of persistent volume " + pv.GetName(), Err: errors.New(cause)}
}

// zoneIn returns the zone in aws://ZONE/ID, or "".
func zoneIn(volumeID string) string {
	rest, ok := strings.CutPrefix(volumeID, "aws://")
	if !ok {
		return ""
	}
	zone, _, _ := strings.Cut(rest, "/")
	return zone
}

// moveZones maps the zones in labels and node affinity, in place.
func (s *settings) moveZones(pv *unstructured.Unstructured) {
	if len(s.zones) == 0 {
		return
	}
	if labels := object(pv, "metadata", "labels"); labels != nil {
		for _, key := range []string{zoneLabel, legacyZoneLabel, csiZoneKey} {
			if zone := text(labels, key); zone != "" {
				labels[key] = s.zone(zone)
			}
		}
	}
	terms, _, _ := unstructured.NestedFieldNoCopy(pv.Object, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
	for term := range objects(terms) {
		for expression := range objects(term["matchExpressions"]) {
			switch text(expression, "key") {
			case zoneLabel, legacyZoneLabel, csiZoneKey:
				s.moveValues(expression)
			}
		}
	}
}

// moveValues maps the zones of one requirement, and drops a zone that is in the list
// already after that.
func (s *settings) moveValues(expression map[string]any) {
	old, ok := expression["values"].([]any)
	if !ok {
		return
	}
	values, seen := make([]any, 0, len(old)), map[string]bool{}
	for _, value := range old {
		zone, isText := value.(string)
		if !isText {
			values = append(values, value)
			continue
		}
		if zone = s.zone(zone); !seen[zone] {
			seen[zone] = true
			values = append(values, zone)
		}
	}
	expression["values"] = values
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

// objects returns the objects in a list, which may be anything.
func objects(list any) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		entries, _ := list.([]any)
		for _, entry := range entries {
			if m, ok := entry.(map[string]any); ok && !yield(m) {
				return
			}
		}
	}
}

// text returns a field of an object, "" when it is absent or no text.
func text(m map[string]any, field string) string {
	s, _ := m[field].(string)
	return s
}
