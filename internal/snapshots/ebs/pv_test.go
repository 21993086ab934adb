package ebs

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestVolumeID(t *testing.T) {
	for pv, want := range map[string]string{
		`{}`:                                     "",
		`{"spec":{}}`:                            "",
		`{"spec":{"nfs":{}}}`:                    "",
		`{"spec":{"csi":{}}}`:                    "",
		`{"spec":{"csi":"text"}}`:                "",
		`{"spec":{"hostPath":{"path":"vol-1"}}}`: "",
		`{"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-0866e1c99bd130a2c"}}}`:                             "vol-0866e1c99bd130a2c",
		`{"spec":{"csi":{"driver":"ebs.csi.eks.amazonaws.com","volumeHandle":"vol-1"}}}`:                                   "vol-1",
		`{"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"foo"}}}`:                                               "",
		`{"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":7}}}`:                                                   "",
		`{"spec":{"csi":{"driver":"unknown.csi.com","volumeHandle":"vol-1"}}}`:                                             "",
		`{"spec":{"csi":{"driver":"efs.csi.aws.com","volumeHandle":"vol-1"},"awsElasticBlockStore":{"volumeID":"vol-2"}}}`: "vol-2",
		`{"spec":{"awsElasticBlockStore":{"volumeID":"vol-1"}}}`:                                                           "vol-1",
		`{"spec":{"awsElasticBlockStore":{"volumeID":"aws://us-east-1c/vol-abc123"}}}`:                                     "vol-abc123",
		`{"spec":{"awsElasticBlockStore":{"volumeID":"foo"}}}`:                                                             "",
		`{"spec":{"awsElasticBlockStore":{}}}`:                                                                             "error",
		`{"spec":{"awsElasticBlockStore":{"volumeID":""}}}`:                                                                "error",
	} {
		object := decode(t, pv)
		got, err := volumeID(object, slog.New(slog.DiscardHandler))
		if err != nil {
			got = "error"
			if !errors.Is(err, CodePersistentVolume) || !strings.Contains(err.Error(), "spec.awsElasticBlockStore.volumeID not found") {
				t.Errorf("%s: %v", pv, err)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", pv, got, want)
		}
		if after := encode(t, object); after != encode(t, decode(t, pv)) {
			t.Errorf("%s became %s", pv, after)
		}
	}
}

func TestSetVolumeID(t *testing.T) {
	const (
		csi    = `"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-old"}`
		inTree = `"awsElasticBlockStore":{"volumeID":"vol-old"}`
		legacy = `"failure-domain.beta.kubernetes.io/zone":"us-east-1a"`
		zoned  = `"topology.kubernetes.io/zone":"us-east-1b"`
	)
	moves := map[string]string{"us-east-1a": "us-east-1c", "us-east-1b": "us-east-1c"}
	affinity := func(key, values string) string {
		return `"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"` + key + `","operator":"In","values":[` + values + `]}]}]}}`
	}
	for name, c := range map[string]struct {
		zones    map[string]string
		in, want string // want is part of the error when it does not begin with {
	}{
		"CSI":              {nil, `{"spec":{` + csi + `}}`, `{"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-new"}}}`},
		"Auto Mode":        {nil, `{"spec":{"csi":{"driver":"ebs.csi.eks.amazonaws.com"}}}`, `{"spec":{"csi":{"driver":"ebs.csi.eks.amazonaws.com","volumeHandle":"vol-new"}}}`},
		"other CSI driver": {nil, `{"spec":{"csi":{"driver":"efs.csi.aws.com"}}}`, "unable to handle CSI driver: efs.csi.aws.com"},
		"no driver":        {nil, `{"spec":{"csi":{}}}`, "unable to handle CSI driver"},
		"no spec":          {nil, `{"metadata":{"name":"x"}}`, "of persistent volume x"},
		"no label":         {nil, `{"spec":{` + inTree + `}}`, `{"spec":{"awsElasticBlockStore":{"volumeID":"vol-new"}}}`},
		"legacy label": {
			nil, `{"metadata":{"labels":{` + legacy + `}},"spec":{` + inTree + `}}`,
			`{"metadata":{"labels":{` + legacy + `}},"spec":{"awsElasticBlockStore":{"volumeID":"aws://us-east-1a/vol-new"}}}`,
		},
		"empty legacy label": {
			nil, `{"metadata":{"labels":{"failure-domain.beta.kubernetes.io/zone":"",` + zoned + `}},"spec":{` + inTree + `}}`,
			`{"metadata":{"labels":{"failure-domain.beta.kubernetes.io/zone":"",` + zoned + `}},"spec":{"awsElasticBlockStore":{"volumeID":"aws://us-east-1b/vol-new"}}}`,
		},
		"both labels": {
			nil, `{"metadata":{"labels":{` + legacy + `,` + zoned + `}},"spec":{` + inTree + `}}`,
			`{"metadata":{"labels":{` + legacy + `,` + zoned + `}},"spec":{"awsElasticBlockStore":{"volumeID":"aws://us-east-1a/vol-new"}}}`,
		},
		"zone in the old id": {
			nil, `{"spec":{"awsElasticBlockStore":{"volumeID":"aws://us-east-1d/vol-old"}}}`, `{"spec":{"awsElasticBlockStore":{"volumeID":"aws://us-east-1d/vol-new"}}}`,
		},
		"moved, in-tree": {
			moves, `{"metadata":{"labels":{` + legacy + `,` + zoned + `}},"spec":{` + inTree + `,` + affinity("failure-domain.beta.kubernetes.io/zone", `"us-east-1a"`) + `}}`,
			`{"metadata":{"labels":{"failure-domain.beta.kubernetes.io/zone":"us-east-1c","topology.kubernetes.io/zone":"us-east-1c"}},"spec":{"awsElasticBlockStore":{"volumeID":"aws://us-east-1c/vol-new"},` +
				affinity("failure-domain.beta.kubernetes.io/zone", `"us-east-1c"`) + `}}`,
		},
		"moved, old id": {
			moves, `{"spec":{"awsElasticBlockStore":{"volumeID":"aws://us-east-1a/vol-old"}}}`, `{"spec":{"awsElasticBlockStore":{"volumeID":"aws://us-east-1c/vol-new"}}}`,
		},
		"moved, CSI": {
			moves, `{"spec":{` + csi + `,` + affinity("topology.ebs.csi.aws.com/zone", `"us-east-1a","us-east-1b","us-east-1f"`) + `}}`,
			`{"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-new"},` + affinity("topology.ebs.csi.aws.com/zone", `"us-east-1c","us-east-1f"`) + `}}`,
		},
		"not moved": {
			moves, `{"spec":{` + csi + `,` + affinity("kubernetes.io/hostname", `"us-east-1a"`) + `}}`,
			`{"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-new"},` + affinity("kubernetes.io/hostname", `"us-east-1a"`) + `}}`,
		},
		"odd affinity": {
			moves, `{"spec":{` + csi + `,"nodeAffinity":{"required":{"nodeSelectorTerms":["x",{"matchExpressions":[7,{"key":"topology.kubernetes.io/zone","values":[{},"us-east-1a",{}]}]},{"matchExpressions":{}}]}}}}`,
			`{"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-new"},"nodeAffinity":{"required":{"nodeSelectorTerms":["x",{"matchExpressions":[7,{"key":"topology.kubernetes.io/zone","values":[{},"us-east-1c",{}]}]},{"matchExpressions":{}}]}}}}`,
		},
		"unknown fields": {
			nil, `{"spec":{` + csi + `,"future":{"n":[1,{"b":9007199254740993}]}},"status":{"x":null}}`,
			`{"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-new"},"future":{"n":[1,{"b":9007199254740993}]}},"status":{"x":null}}`,
		},
	} {
		pv, s := decode(t, c.in), settings{zones: c.zones}
		err := s.SetVolumeID(pv, "vol-new")
		if !strings.HasPrefix(c.want, "{") {
			if !errors.Is(err, CodePersistentVolume) || !strings.Contains(err.Error(), c.want) || encode(t, pv) != c.in {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got := encode(t, pv); err != nil || got != encode(t, decode(t, c.want)) {
			t.Errorf("%s:\n%s, %v, want\n%s", name, got, err, c.want)
		}
	}
}

// decode reads JSON as the SDK does, with integers of all sizes.
func decode(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	pv := &unstructured.Unstructured{}
	if err := decoder.Decode(&pv.Object); err != nil {
		t.Fatal(err)
	}
	return pv
}

func encode(t testing.TB, pv *unstructured.Unstructured) string {
	t.Helper()
	text, err := json.Marshal(pv.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whatever a PersistentVolume holds, it is read, and either edited or refused.
func FuzzPersistentVolume(f *testing.F) {
	f.Add(`{"spec":{"csi":{"driver":"ebs.csi.aws.com","volumeHandle":"vol-1"},"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","values":["a",{}]}]}]}}}}`)
	f.Add(`{"metadata":{"labels":{"topology.kubernetes.io/zone":"a"}},"spec":{"awsElasticBlockStore":{"volumeID":"aws://a/vol-1"}}}`)
	f.Add(`{"metadata":{"labels":7},"spec":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		pv := &unstructured.Unstructured{}
		if json.Unmarshal([]byte(text), &pv.Object) != nil {
			return
		}
		before, beforeErr := volumeID(pv, slog.New(slog.DiscardHandler))
		s := settings{zones: map[string]string{"a": "b"}}
		if s.SetVolumeID(pv, "vol-new") != nil {
			return
		}
		after, err := volumeID(pv, slog.New(slog.DiscardHandler))
		if err != nil || after != "vol-new" {
			t.Errorf("%s: %q, %v, and before %q, %v", text, after, err, before, beforeErr)
		}
	})
}
