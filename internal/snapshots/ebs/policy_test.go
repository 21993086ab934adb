package ebs

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
)

// policy returns the actions that an example allows.
func policy(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../../../examples/aws/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal(text, &p); err != nil || len(p.Statement) != 1 {
		t.Fatalf("%s: %v", name, err)
	}
	return p.Statement[0].Action
}

// The policies allow what backups, restores and checks need, and nothing more.
func TestPolicies(t *testing.T) {
	snapshots, keys := policy(t, "policy-snapshots.json"), policy(t, "policy-snapshots-kms.json")
	works := func(encrypted bool, actions ...string) error {
		s := newScene(t)
		s.Limit(actions...)
		volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1, Encrypted: encrypted})
		taken, err := s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: volume, Tags: veleroTags})
		if err != nil {
			return err
		}
		if _, _, err := s.walk(); err != nil {
			return err
		}
		if _, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: taken.SnapshotID, VolumeType: "gp3"}); err != nil {
			return err
		}
		_, err = s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput(taken))
		return err
	}
	if err := works(false, snapshots...); err != nil {
		t.Error(err)
	}
	if err := works(true, append(keys, snapshots...)...); err != nil {
		t.Error(err)
	}
	for i, action := range snapshots {
		if err := works(false, without(snapshots, i)...); !errors.Is(err, CodeAccessDenied) {
			t.Errorf("%s is not needed: %v", action, err)
		}
	}
	for i, action := range keys {
		if err := works(true, append(without(keys, i), snapshots...)...); !errors.Is(err, CodeKMS) {
			t.Errorf("%s is not needed: %v", action, err)
		}
	}
}

func without(list []string, i int) []string {
	return append(append([]string{}, list[:i]...), list[i+1:]...)
}
