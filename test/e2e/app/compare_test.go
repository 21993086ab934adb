package app

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func service(clusterIP string, labels fields) *unstructured.Unstructured {
	return object("v1", "Service", "shop", fields{
		"metadata": fields{"uid": "1", "resourceVersion": "7", "labels": labels},
		"spec":     fields{"clusterIP": clusterIP, "ports": list{fields{"port": int64(80)}}},
		"status":   fields{"loadBalancer": fields{}},
	})
}

func snapshotOf(objects ...*unstructured.Unstructured) Snapshot {
	s := Snapshot{}
	for _, o := range objects {
		s[key(o)] = o
	}
	return s
}

func TestCompare(t *testing.T) {
	before := service("10.96.0.7", fields{"app": "shop"})
	owned := func(uid, name string) *unstructured.Unstructured {
		return object("v1", "Pod", "shop-1", fields{
			"metadata": fields{"ownerReferences": list{fields{"kind": "ReplicaSet", "name": name, "uid": uid}}},
		})
	}
	set := func(value any, path ...string) *unstructured.Unstructured {
		o := before.DeepCopy()
		if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
			t.Fatal(err)
		}
		return o
	}
	for _, c := range []struct {
		name          string
		before, after Snapshot
		want          string // in the differences; empty for none
	}{
		{"the same", snapshotOf(before), snapshotOf(before), ""},
		{"new uid", snapshotOf(before), snapshotOf(set("2", "metadata", "uid")), ""},
		{"status", snapshotOf(before), snapshotOf(set("x", "status", "y")), ""},
		{"label of Velero", snapshotOf(before), snapshotOf(set("demo", "metadata", "labels", "velero.io/backup-name")), ""},
		{"label of others", snapshotOf(before), snapshotOf(set("demo", "metadata", "labels", "velero.io/other")), ".metadata.labels.velero.io/other"},
		{"allocated address", snapshotOf(before), snapshotOf(set("10.96.0.8", "spec", "clusterIP")), ""},
		{"headless no more", snapshotOf(service("None", nil)), snapshotOf(service("10.96.0.8", nil)), ".spec.clusterIP"},
		{"changed list", snapshotOf(before), snapshotOf(set(list{fields{"port": int64(81)}}, "spec", "ports")), ".spec.ports"},
		{"number of another type", snapshotOf(before), snapshotOf(set(list{fields{"port": 80.0}}, "spec", "ports")), ".spec.ports"},
		{"absent field", snapshotOf(set("x", "spec", "type")), snapshotOf(before), ".spec.type: absent"},
		{"missing object", snapshotOf(before), snapshotOf(), "missing"},
		{"surplus object", snapshotOf(), snapshotOf(before), "was not there before"},
		{"new uid of the owner", snapshotOf(owned("1", "shop")), snapshotOf(owned("2", "shop")), ""},
		{"other owner", snapshotOf(owned("1", "shop")), snapshotOf(owned("1", "cart")), ".metadata.ownerReferences"},
	} {
		t.Run(c.name, func(t *testing.T) {
			differences := Compare(c.before, c.after)
			if c.want == "" {
				if len(differences) != 0 {
					t.Error(differences)
				}
				return
			}
			if len(differences) != 1 || !strings.Contains(differences[0].String(), c.want) {
				t.Errorf("differences %v, want one about %s", differences, c.want)
			}
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	secret := func(value string) Snapshot {
		return snapshotOf(object("v1", "Secret", "key", fields{"data": fields{"key": value}}))
	}
	differences := Compare(secret("aHVudGVyMg=="), secret("c3dvcmRmaXNo"))
	if len(differences) != 1 {
		t.Fatalf("differences %v", differences)
	}
	text := differences[0].String()
	if !strings.Contains(text, ".data.key") || strings.Contains(text, "aHVud") || strings.Contains(text, "c3dv") {
		t.Error(text)
	}
}

func TestComparisonLeavesSnapshotsAlone(t *testing.T) {
	before := service("10.96.0.7", nil)
	Compare(snapshotOf(before), snapshotOf(before))
	if before.GetUID() != "1" {
		t.Error("the ignored fields were removed from the snapshot itself")
	}
}
