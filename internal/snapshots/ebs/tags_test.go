package ebs

import (
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
)

func tagList(tags map[string]string) []types.Tag {
	var list []types.Tag
	for key, value := range tags {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	return list
}

type tagMaps = map[string]string

func TestSnapshotTags(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		settings             settings
		velero, volume, want tagMaps
	}{
		"none":               {want: tagMaps{}},
		"of Velero":          {velero: tagMaps{"k": "v"}, want: tagMaps{"k": "v"}},
		"of the volume":      {volume: tagMaps{"k": "v"}, want: tagMaps{"k": "v"}},
		"both":               {velero: tagMaps{"a": "1"}, volume: tagMaps{"b": "2"}, want: tagMaps{"a": "1", "b": "2"}},
		"Velero wins":        {velero: tagMaps{"a": "1"}, volume: tagMaps{"a": "2", "b": "2"}, want: tagMaps{"a": "1", "b": "2"}},
		"empty values":       {velero: tagMaps{"a": ""}, volume: tagMaps{"a": "2", "b": ""}, want: tagMaps{"a": "", "b": ""}},
		"reserved":           {velero: tagMaps{"AWS:x": "1"}, volume: tagMaps{"aws:cloudformation:stack-name": "s", "k": "v"}, want: tagMaps{"k": "v"}},
		"facts of a restore": {volume: tagMaps{"velero.io/ebs-az": "old", "velero.io/backup": "old"}, want: tagMaps{"velero.io/backup": "old"}},
		"configured":         {settings: settings{tags: tagMaps{"a": "c", "b": "c"}}, velero: tagMaps{"a": "1"}, volume: tagMaps{"b": "2"}, want: tagMaps{"a": "1", "b": "c"}},
		"excluded": {
			settings: settings{excludeTags: []string{"Name", "app*", "velero.io/*"}},
			velero:   tagMaps{"app.kubernetes.io/name": "x", "velero.io/backup": "b"}, volume: tagMaps{"Name": "x", "Names": "y"}, want: tagMaps{"velero.io/backup": "b", "Names": "y"},
		},
		"too long": {velero: tagMaps{strings.Repeat("k", 128): "v", "k": "v"}, volume: tagMaps{strings.Repeat("ü", 127): "v"}, want: tagMaps{"k": "v", strings.Repeat("ü", 127): "v"}},
	} {
		if got := c.settings.snapshotTags(c.velero, types.Volume{Tags: tagList(c.volume)}, log); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestVolumeTags(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		settings       settings
		snapshot, want tagMaps
	}{
		"none":       {want: tagMaps{}},
		"all":        {snapshot: tagMaps{"a": "1", "kubernetes.io/cluster/c1": "owned", "KubernetesCluster": "c1"}, want: tagMaps{"a": "1", "kubernetes.io/cluster/c1": "owned", "KubernetesCluster": "c1"}},
		"no cluster": {settings: settings{cluster: "c2"}, snapshot: tagMaps{"a": "1"}, want: tagMaps{"a": "1", "kubernetes.io/cluster/c2": "owned", "KubernetesCluster": "c2"}},
		"other cluster": {
			settings: settings{cluster: "c2"}, snapshot: tagMaps{"a": "1", "kubernetes.io/cluster/c1": "owned", "KubernetesCluster": "c1", "kubernetes.io/created-for/pv/name": "p"},
			want: tagMaps{"a": "1", "kubernetes.io/cluster/c2": "owned", "KubernetesCluster": "c2", "kubernetes.io/created-for/pv/name": "p"},
		},
		"same cluster": {settings: settings{cluster: "c1"}, snapshot: tagMaps{"kubernetes.io/cluster/c1": "shared"}, want: tagMaps{"kubernetes.io/cluster/c1": "owned", "KubernetesCluster": "c1"}},
		"facts":        {snapshot: tagMaps{"velero.io/ebs-throughput": "500", "velero.io/pv": "p", "aws:x": "y"}, want: tagMaps{"velero.io/pv": "p"}},
		"configured":   {settings: settings{tags: tagMaps{"team": "x"}}, snapshot: tagMaps{"team": "y"}, want: tagMaps{"team": "x"}},
	} {
		if got := c.settings.volumeTags(c.snapshot, log); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Of too many tags those go that matter least, and EC2 takes the rest.
func TestManyTags(t *testing.T) {
	s := newScene(t, "tags", "team=x")
	tags := tagMaps{"kubernetes.io/created-for/pvc/name": "c", "CSIVolumeName": "pv-1"}
	for i := range 48 {
		tags[fmt.Sprint("a", i)] = "v"
	}
	velero := maps.Clone(veleroTags)
	velero["label"] = "v"
	volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Type: "gp3", Size: 1, IOPS: 3000, Throughput: 125, Tags: tags})
	taken, err := s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: volume, Tags: velero})
	if err != nil {
		t.Fatal(err)
	}
	got := s.Calls("CreateSnapshot")[0].Tags()
	if len(got) != 50 || !strings.Contains(s.log.String(), "at most 50") {
		t.Errorf("%d tags, log %s", len(got), s.log)
	}
	for _, key := range []string{"velero.io/backup", "velero.io/pv", "velero.io/ebs-az", "velero.io/ebs-throughput", "label", "team", "kubernetes.io/created-for/pvc/name", "CSIVolumeName"} {
		if _, ok := got[key]; !ok {
			t.Errorf("%s was left out", key)
		}
	}
	t.Setenv("AWS_CLUSTER_NAME", "c1")
	s.mustInit("tags", "team=x&another=y&third=z")
	restored := s.mustRestore(taken.SnapshotID, "gp3", "", 3000)
	if len(restored.Tags) != 50 || restored.Tags["KubernetesCluster"] != "c1" {
		t.Errorf("%d tags of the volume", len(restored.Tags))
	}
}
