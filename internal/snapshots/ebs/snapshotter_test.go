package ebs

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

var veleroTags = map[string]string{"velero.io/backup": "b", "velero.io/pv": "pv-1"}

// mustSnapshot takes a snapshot.
func (s *scene) mustSnapshot(volume string) string {
	s.t.Helper()
	taken, err := s.CreateSnapshot(s.t.Context(), sdk.CreateSnapshotInput{VolumeID: volume, Tags: veleroTags})
	if err != nil {
		s.t.Fatal(err)
	}
	return taken.SnapshotID
}

func (s *scene) mustRestore(snapshot, volumeType, zone string, iops int64) awsfake.Volume {
	s.t.Helper()
	created, err := s.CreateVolume(s.t.Context(), sdk.CreateVolumeInput{SnapshotID: snapshot, VolumeType: volumeType, Zone: zone, IOPS: iops})
	if err != nil {
		s.t.Fatal(err)
	}
	v, ok := s.Volume(created.VolumeID)
	if !ok {
		s.t.Fatalf("volume %s is not there", created.VolumeID)
	}
	return v
}

// A volume comes back as it was, also in what Velero does not know of.
func TestRoundTrip(t *testing.T) {
	for _, v := range []awsfake.Volume{
		{Zone: region + "a", Type: "gp2", Size: 10},
		{Zone: region + "b", Type: "gp3", Size: 10, IOPS: 6000, Throughput: 500},
		{Zone: region + "a", Type: "io1", Size: 10, IOPS: 700},
		{Zone: region + "c", Type: "io2", Size: 10, IOPS: 900, MultiAttach: true},
		{Zone: region + "a", Type: "st1", Size: 500, Encrypted: true},
	} {
		t.Run(v.Type, func(t *testing.T) {
			s := newScene(t)
			s.SetSnapshotTime(time.Minute)
			s.SetVolumeTime(5 * time.Second)
			v.Tags = map[string]string{"Name": "x", "kubernetes.io/created-for/pv/name": "pv-1", "aws:cloudformation:stack-name": "y", "velero.io/pv": "old"}
			id := s.AddVolume(v)
			info, err := s.VolumeInfo(t.Context(), sdk.VolumeInfoInput{VolumeID: id})
			if err != nil || info.VolumeType != v.Type || info.IOPS != int64(v.IOPS) {
				t.Fatalf("info: %s, %d, %v", info.VolumeType, info.IOPS, err)
			}
			snapshot := s.mustSnapshot(id)
			taken, _ := s.Snapshot(snapshot)
			for key, want := range map[string]string{"velero.io/backup": "b", "velero.io/pv": "pv-1", "Name": "x", "velero.io/ebs-az": v.Zone} {
				if taken.Tags[key] != want {
					t.Errorf("tag %s of the snapshot: %q", key, taken.Tags[key])
				}
			}
			if waited := len(s.Calls("DescribeSnapshots")); waited != 0 {
				t.Error("CreateSnapshot looked at the snapshot")
			}

			got := s.mustRestore(snapshot, info.VolumeType, "", info.IOPS)
			if got.Type != v.Type || got.IOPS != v.IOPS || got.Throughput != v.Throughput || got.MultiAttach != v.MultiAttach ||
				got.Zone != v.Zone || got.Encrypted != v.Encrypted || got.Size != v.Size {
				t.Errorf("got %+v", got)
			}
			want := map[string]string{"Name": "x", "kubernetes.io/created-for/pv/name": "pv-1", "velero.io/backup": "b", "velero.io/pv": "pv-1"}
			if !maps.Equal(got.Tags, want) {
				t.Errorf("tags of the volume: %v", got.Tags)
			}
		})
	}
}

// A restore may come before the snapshot is complete.
func TestPendingSnapshot(t *testing.T) {
	s := newScene(t)
	volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
	snapshot := s.mustSnapshot(volume)
	s.SetSnapshotTime(9 * time.Minute)
	began := s.Now()
	s.mustRestore(snapshot, "gp2", region+"a", 0)
	if waited := s.Now().Sub(began); waited < 8*time.Minute || waited > 10*time.Minute {
		t.Errorf("waited for %v", waited)
	}
	if n := len(s.Calls("DescribeSnapshots")); n > 25 {
		t.Errorf("%d looks", n)
	}
	s.SetSnapshotTime(24 * time.Hour)
	restore := func() error {
		_, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: snapshot, VolumeType: "gp2", Zone: region + "a"})
		return err
	}
	if err := restore(); !errors.Is(err, CodeSnapshotPending) || !strings.Contains(err.Error(), "snapshotReadyTimeout") {
		t.Errorf("snapshot that stays pending: %v", err)
	}
	s.FailSnapshot(snapshot, "Given key ID is not accessible")
	if err := restore(); !errors.Is(err, CodeSnapshotFailed) || !strings.Contains(err.Error(), "Given key ID is not accessible") {
		t.Errorf("snapshot that failed: %v", err)
	}
}

// EC2 answers for a volume that it cannot make, and says nothing later.
func TestKeyThatCannotBeUsed(t *testing.T) {
	for name, unseen := range map[string]bool{"seen": false, "never seen": true} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if unseen {
				s.VanishUnseen()
			}
			s.Deny("kms:CreateGrant")
			snapshot := s.AddSnapshot(awsfake.Snapshot{Size: 1, Encrypted: true})
			began := s.Now()
			_, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: snapshot, VolumeType: "gp3", Zone: region + "a"})
			if !errors.Is(err, CodeKMS) || !strings.Contains(err.Error(), "kms:CreateGrant") || !strings.Contains(err.Error(), snapshot) {
				t.Errorf("error: %v", err)
			}
			if waited := s.Now().Sub(began); (waited >= visibleTime) != unseen {
				t.Errorf("known after %v", waited)
			}
		})
	}
	t.Run("never seen, with a short time limit", func(t *testing.T) {
		s := newScene(t, "volumeCreationTimeout", "10s")
		s.VanishUnseen()
		s.Deny("kms:CreateGrant")
		snapshot := s.AddSnapshot(awsfake.Snapshot{Size: 1, Encrypted: true})
		if _, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: snapshot, VolumeType: "gp3", Zone: region + "a"}); !errors.Is(err, CodeKMS) {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("a slow volume is none", func(t *testing.T) {
		s := newScene(t, "volumeCreationTimeout", "3m")
		s.SetVolumeTime(time.Hour)
		s.mustRestore(s.AddSnapshot(awsfake.Snapshot{Size: 1, Encrypted: true}), "gp3", region+"a", 0)
		if !strings.Contains(s.log.String(), "still being created") {
			t.Error("no warning")
		}
	})
	t.Run("nor is one that EC2 does not know yet", func(t *testing.T) {
		s := newScene(t)
		s.Inject(3, awsfake.Actions("DescribeVolumes"), awsfake.Answer(400, "InvalidVolume.NotFound", "The volume does not exist."))
		s.mustRestore(s.AddSnapshot(awsfake.Snapshot{Size: 1}), "gp3", region+"a", 0)
	})
	t.Run("nor one that may not be watched", func(t *testing.T) {
		s := newScene(t)
		s.Deny("ec2:DescribeVolumes")
		s.mustRestore(s.AddSnapshot(awsfake.Snapshot{Size: 1}), "gp3", region+"a", 0)
		if !strings.Contains(s.log.String(), "allow ec2:DescribeVolumes") {
			t.Errorf("log: %s", s.log)
		}
	})
}

// The key of the configuration encrypts whatever the snapshot was.
func TestVolumeKey(t *testing.T) {
	s := newScene(t, "ebsKmsKeyId", "alias/restored")
	for _, encrypted := range []bool{false, true} {
		v := s.mustRestore(s.AddSnapshot(awsfake.Snapshot{Size: 1, Encrypted: encrypted}), "gp3", region+"a", 0)
		if !v.Encrypted || v.KMSKeyID != "alias/restored" {
			t.Errorf("volume: %+v", v)
		}
	}
}

func TestZones(t *testing.T) {
	s := newScene(t, "azMapping", "us-east-1a:"+region+"b, "+region+"c:"+region+"a")
	for _, c := range []struct{ velero, tag, want string }{
		{region + "b", region + "a", region + "b"},
		{"us-east-1a", "", region + "b"},
		{"", region + "c", region + "a"},
		{region + "c", "", region + "a"},
	} {
		snapshot := awsfake.Snapshot{Size: 1, Tags: map[string]string{}}
		if c.tag != "" {
			snapshot.Tags[zoneTag] = c.tag
		}
		if v := s.mustRestore(s.AddSnapshot(snapshot), "gp3", c.velero, 0); v.Zone != c.want {
			t.Errorf("%+v: zone %s", c, v.Zone)
		}
	}
	snapshot := s.AddSnapshot(awsfake.Snapshot{Size: 1})
	if _, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: snapshot, VolumeType: "gp3"}); !errors.Is(err, CodeZoneMissing) {
		t.Errorf("no zone: %v", err)
	}
	if _, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: snapshot, VolumeType: "gp3", Zone: "us-east-1b"}); !errors.Is(err, CodeZoneInvalid) || !strings.Contains(err.Error(), "azMapping") {
		t.Errorf("zone of another region: %v", err)
	}
}

// EC2 takes one snapshot of a volume in 15 seconds.
func TestSnapshotRate(t *testing.T) {
	s := newScene(t)
	volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
	first := s.mustSnapshot(volume)
	began := s.Now()
	second := s.mustSnapshot(volume)
	if waited := s.Now().Sub(began); first == second || waited < 15*time.Second || waited > 20*time.Second {
		t.Errorf("second snapshot %s after %v", second, waited)
	}
	s.Inject(inject.Always, awsfake.Actions("CreateSnapshot"), awsfake.Answer(400, rateExceeded, "exceeded"))
	began = s.Now()
	_, err := s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: volume, Tags: veleroTags})
	if waited := s.Now().Sub(began); !errors.Is(err, endpoint.CodeBusy) || waited < beginTime || waited > 2*beginTime {
		t.Errorf("after %v: %v", waited, err)
	}
}

// A request whose answer is lost makes one snapshot all the same.
func TestLostAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		faults []inject.Fault
		want   int // snapshots
	}{
		"carried out":            {[]inject.Fault{inject.LoseAnswer()}, 1},
		"cut short":              {[]inject.Fault{inject.CutShort()}, 1},
		"not carried out":        {[]inject.Fault{inject.Drop()}, 1},
		"carried out later":      {[]inject.Fault{inject.Drop(), inject.LoseAnswer()}, 1},
		"internal error":         {[]inject.Fault{awsfake.Answer(500, "InternalError", "An internal error has occurred")}, 1},
		"rate after lost answer": {[]inject.Fault{inject.LoseAnswer(), awsfake.Answer(400, rateExceeded, "exceeded")}, 1},
		"throttled":              {[]inject.Fault{awsfake.Throttle()}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
			s.mustSnapshot(s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})) // of another volume
			for _, f := range c.faults {
				s.Inject(1, awsfake.Actions("CreateSnapshot"), f)
			}
			id := s.mustSnapshot(volume)
			if got, ok := s.Snapshot(id); !ok || got.VolumeID != volume || s.Snapshots() != 1+c.want {
				t.Errorf("%+v, %d snapshots", got, s.Snapshots())
			}
		})
	}
	t.Run("a refusal after a lost answer counts", func(t *testing.T) {
		s := newScene(t)
		volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
		s.Inject(1, awsfake.Actions("CreateSnapshot"), inject.Drop())
		s.Inject(1, awsfake.Actions("CreateSnapshot"), inject.Before(func() { s.Deny("ec2:CreateSnapshot") }))
		if _, err := s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: volume, Tags: veleroTags}); !errors.Is(err, CodeAccessDenied) || len(s.Calls("CreateSnapshot")) != 2 {
			t.Errorf("%v after %d requests", err, len(s.Calls("CreateSnapshot")))
		}
	})
	t.Run("snapshots with other tags are others", func(t *testing.T) {
		s := newScene(t)
		volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
		other := s.AddSnapshot(awsfake.Snapshot{VolumeID: volume, Size: 1, Started: s.Now(), Tags: map[string]string{"velero.io/backup": "another"}})
		s.Inject(1, awsfake.Actions("CreateSnapshot"), inject.Drop())
		if id := s.mustSnapshot(volume); id == other || s.Snapshots() != 2 {
			t.Errorf("%s, %d snapshots", id, s.Snapshots())
		}
	})
	t.Run("older snapshots are others", func(t *testing.T) {
		s := newScene(t)
		volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
		old := s.mustSnapshot(volume)
		s.Advance(time.Hour)
		s.Inject(1, awsfake.Actions("CreateSnapshot"), inject.Drop())
		if id := s.mustSnapshot(volume); id == old || s.Snapshots() != 2 {
			t.Errorf("%s, %d snapshots", id, s.Snapshots())
		}
	})
	t.Run("a volume is made once", func(t *testing.T) {
		s := newScene(t)
		s.Inject(1, awsfake.Actions("CreateVolume"), inject.LoseAnswer())
		s.mustRestore(s.AddSnapshot(awsfake.Snapshot{Size: 1}), "gp3", region+"a", 0)
		calls := s.Calls("CreateVolume")
		if len(calls) != 2 || calls[0].Form["ClientToken"] != calls[1].Form["ClientToken"] {
			t.Errorf("%d calls", len(calls))
		}
	})
}

// Iops are sent where the type has them, and what EC2 cannot take is refused.
func TestIOPS(t *testing.T) {
	s := newScene(t)
	snapshot := s.AddSnapshot(awsfake.Snapshot{Size: 100})
	for _, volumeType := range []string{"gp2", "st1", "sc1", "standard", ""} {
		s.mustRestore(snapshot, volumeType, region+"a", 3000)
	}
	if _, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: snapshot, VolumeType: "io1", Zone: region + "a", IOPS: 1 << 32}); !errors.Is(err, CodeRefused) {
		t.Errorf("too many: %v", err)
	}
	if _, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: snapshot, VolumeType: "gp3", Zone: region + "a", IOPS: 100}); !errors.Is(err, CodeRefused) || !strings.Contains(err.Error(), "out of range") {
		t.Errorf("too few: %v", err)
	}
	s.mustRestore(snapshot, "gp3", region+"a", 0)
	fast := s.AddSnapshot(awsfake.Snapshot{Size: 100, Tags: map[string]string{throughputTag: "500", multiAttachTag: "true"}})
	for _, volumeType := range []string{"gp2", "io1", "gp3"} {
		if v := s.mustRestore(fast, volumeType, region+"a", 3000); (v.Throughput == 500) != (volumeType == "gp3") || v.MultiAttach != (volumeType == "io1") {
			t.Errorf("%+v", v)
		}
	}
}

func TestDeleteSnapshot(t *testing.T) {
	s := newScene(t)
	id := s.AddSnapshot(awsfake.Snapshot{Size: 1})
	for _, snapshot := range []string{id, id, "", "snap-0123"} {
		if _, err := s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput{SnapshotID: snapshot}); err != nil {
			t.Errorf("%q: %v", snapshot, err)
		}
	}
	if s.Snapshots() != 0 {
		t.Error("the snapshot is still there")
	}
	inUse := s.AddSnapshot(awsfake.Snapshot{Size: 1, InUse: true})
	if _, err := s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput{SnapshotID: inUse}); !errors.Is(err, CodeSnapshotInUse) || !strings.Contains(err.Error(), "ami-") {
		t.Errorf("in use: %v", err)
	}
}

// Each error says what failed, on what, and how to mend it.
func TestErrors(t *testing.T) {
	snapshot := func(ctx context.Context, s *scene) error {
		_, err := s.CreateSnapshot(ctx, sdk.CreateSnapshotInput{VolumeID: s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1}), Zone: "", Tags: veleroTags})
		return err
	}
	restore := func(ctx context.Context, s *scene) error {
		_, err := s.CreateVolume(ctx, sdk.CreateVolumeInput{SnapshotID: s.AddSnapshot(awsfake.Snapshot{Size: 1, Tags: veleroTags}), VolumeType: "gp3", Zone: region + "a", IOPS: 0})
		return err
	}
	deny := func(action string) func(*scene) { return func(s *scene) { s.Deny(action) } }
	fail := func(action string, status int, code, message string) func(*scene) {
		return func(s *scene) {
			s.Inject(inject.Always, awsfake.Actions(action), awsfake.Answer(status, code, message))
		}
	}
	for name, c := range map[string]struct {
		prepare func(*scene)
		do      func(context.Context, *scene) error
		code    fault.Code
		says    []string
	}{
		"volume elsewhere": {nil, func(ctx context.Context, s *scene) error {
			_, err := s.CreateSnapshot(ctx, sdk.CreateSnapshotInput{VolumeID: "vol-0123"})
			return err
		}, CodeVolumeNotFound, []string{"error creating a snapshot of volume vol-0123: InvalidVolume.NotFound", "region"}},
		"no id of a volume": {nil, func(ctx context.Context, s *scene) error {
			_, err := s.VolumeInfo(ctx, sdk.VolumeInfoInput{VolumeID: "x"})
			return err
		}, CodeRefused, []string{"error getting volume x: InvalidParameterValue"}},
		"snapshot elsewhere": {nil, func(ctx context.Context, s *scene) error {
			_, err := s.CreateVolume(ctx, sdk.CreateVolumeInput{SnapshotID: "snap-0123", VolumeType: "gp2", Zone: region + "a"})
			return err
		}, CodeSnapshotNotFound, []string{"error creating a volume of snapshot snap-0123: InvalidSnapshot.NotFound", "region", "data movement"}},
		"may not describe": {deny("ec2:DescribeVolumes"), snapshot, CodeAccessDenied, []string{"fix: allow ec2:DescribeVolumes on arn:aws:ec2:"}},
		"may not snapshot": {deny("ec2:CreateSnapshot"), snapshot, CodeAccessDenied, []string{"fix: allow ec2:CreateSnapshot on arn:aws:ec2:"}},
		"may not tag":      {deny("ec2:CreateTags"), snapshot, CodeAccessDenied, []string{"fix: allow ec2:CreateTags"}},
		"may not restore":  {deny("ec2:CreateVolume"), restore, CodeAccessDenied, []string{"fix: allow ec2:CreateVolume"}},
		"encoded message": {
			fail("CreateSnapshot", 403, "UnauthorizedOperation", "You are not authorized to perform this operation. Encoded authorization failure message: abc"),
			snapshot, CodeAccessDenied, []string{"ec2:CreateSnapshot", "decode-authorization-message"},
		},
		"too many at once": {
			fail("CreateSnapshot", 400, "ConcurrentSnapshotLimitExceeded", "You have reached the maximum"), snapshot, CodeLimit, []string{"ConcurrentSnapshotLimitExceeded"},
		},
		"always busy":  {fail("CreateVolume", 503, "RequestLimitExceeded", "Request limit exceeded."), restore, endpoint.CodeBusy, []string{"AWS_MAX_ATTEMPTS"}},
		"disabled key": {fail("CreateVolume", 400, "InvalidRequest", "The KMS key is disabled"), restore, CodeKMS, []string{"kms:Decrypt"}},
		"wrong secret": {func(s *scene) {
			s.keys.SecretAccessKey = "x"
			s.mustInit("credentialsFile", credentialsFile(s.t, s.keys))
		}, snapshot, CodeAuthFailure, []string{"aws_secret_access_key"}},
		"nobody listens": {func(s *scene) { s.mustInit("ec2Url", "http://127.0.0.1:1") }, snapshot, endpoint.CodeRefused, []string{"ec2Url"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "2")
			s.mustInit("snapshotReadyTimeout", "1m") // reads the variable
			if c.prepare != nil {
				c.prepare(s)
			}
			err := c.do(t.Context(), s)
			if !errors.Is(err, c.code) {
				t.Fatalf("error: %v", err)
			}
			if strings.Contains(err.Error(), "Encoded") != (name == "encoded message") {
				t.Errorf("error with too much or too little: %v", err)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q is not in: %v", says, err)
				}
			}
		})
	}
}

// mustInit changes the configuration.
func (s *scene) mustInit(config ...string) {
	s.t.Helper()
	for i := 0; i < len(config); i += 2 {
		s.config[config[i]] = config[i+1]
	}
	if _, err := s.Init(s.t.Context(), sdk.InitInput{Config: s.config}); err != nil {
		s.t.Fatal(err)
	}
}

func TestNotInitialized(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler))
	_, create := s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: "vol-1"})
	_, restore := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: "snap-1", VolumeType: "gp2"})
	_, info := s.VolumeInfo(t.Context(), sdk.VolumeInfoInput{VolumeID: "vol-1"})
	_, set := s.SetVolumeID(t.Context(), sdk.SetVolumeIDInput{PersistentVolume: persistentVolume(t, `{"kind":"PersistentVolume","spec":{}}`), VolumeID: "vol-1"})
	_, remove := s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput{SnapshotID: "snap-1"})
	for _, err := range []error{create, restore, info, set, remove} {
		if !errors.Is(err, CodeNotReady) {
			t.Error(err)
		}
	}
}

// Who gives up does not wait on.
func TestCancelled(t *testing.T) {
	s := newScene(t)
	s.clock = snapshots.MachineClock{}
	s.mustInit("snapshotReadyTimeout", "1h")
	s.SetSnapshotTime(24 * time.Hour)
	snapshot := s.mustSnapshot(s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1}))
	ctx, cancel := context.WithCancel(t.Context())
	s.Inject(1, awsfake.Actions("DescribeSnapshots"), inject.Before(cancel))
	if _, err := s.CreateVolume(ctx, sdk.CreateVolumeInput{SnapshotID: snapshot, VolumeType: "gp2", Zone: region + "a"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Configurations may follow each other while calls go on.
func TestConcurrentInit(t *testing.T) {
	s := newScene(t)
	other := maps.Clone(s.config)
	other["tags"] = "team=b"
	var calls sync.WaitGroup
	for i := range 8 {
		volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
		calls.Go(func() {
			config := s.config
			if i%2 == 0 {
				config = other
			}
			if _, err := s.Init(t.Context(), sdk.InitInput{Config: config}); err != nil {
				t.Error(err)
			}
			taken, err := s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: volume, Tags: veleroTags})
			if err != nil {
				t.Error(err)
			}
			if _, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: taken.SnapshotID, VolumeType: "gp2", Zone: region + "a"}); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

// A volume of an Outpost comes back there, unless it is restored into another zone.
func TestOutpost(t *testing.T) {
	const outpost = "arn:aws:outposts:" + region + ":123456789012:outpost/op-0123456789abcdef0"
	for name, c := range map[string]struct {
		mapping, zone, outpost string
	}{
		"same zone":    {"", region + "a", outpost},
		"another zone": {region + "a:" + region + "b", region + "b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "azMapping", c.mapping)
			volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1, Outpost: outpost})
			made, err := s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: volume, Tags: veleroTags})
			if err != nil {
				t.Fatal(err)
			}
			restored, err := s.CreateVolume(t.Context(), sdk.CreateVolumeInput{SnapshotID: made.SnapshotID, VolumeType: "gp2", Zone: region + "a"})
			if err != nil {
				t.Fatal(err)
			}
			v, _ := s.Volume(restored.VolumeID)
			if v.Zone != c.zone || v.Outpost != c.outpost || v.Tags[outpostTag] != "" {
				t.Errorf("restored: %+v", v)
			}
			if warned := strings.Contains(s.log.String(), outpost); warned != (c.outpost == "") {
				t.Errorf("log: %s", s.log)
			}
		})
	}
}
