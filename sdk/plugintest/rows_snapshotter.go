package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// snapshotterRows are about volume snapshotters.
func snapshotterRows() []Row {
	return []Row{{
		ID: "snapshotter.init", Level: Must, Name: "Init again",
		Contract:    "Init is repeated, also with other values, while calls go on, and none of them fails or is mixed up",
		Consequence: "a restore, which calls Init for each volume, fails at some of its volumes",
		needs:       []need{snapshotter},
		run:         snapshotterInit,
	}, {
		ID: "snapshotter.init-leak", Level: Should, Name: "what Init leaves open",
		Contract:    "what belongs to a configuration that Init has replaced is closed within seconds",
		Consequence: "a restore of many volumes uses up file descriptors or memory of the Velero pod",
		needs:       []need{snapshotter},
		run:         snapshotterInitLeak,
	}, {
		ID: "snapshotter.bad-config", Level: Should, Name: "bad configuration",
		Contract:    "an unknown key makes Init fail with an error that names it, and leaves the old configuration in use",
		Consequence: "a misspelt key of a volume snapshot location is noticed when snapshots are missing",
		needs:       []need{snapshotter},
		run:         snapshotterBadConfig,
	}, {
		ID: "snapshotter.uninitialized", Level: Should, Name: "no Init",
		Contract:    "a snapshot that is asked for before Init is an error, and the plugin lives on",
		Consequence: "a plugin that was restarted during a backup dies again or reports snapshots that do not exist",
		needs:       []need{snapshotter},
		run:         snapshotterNoInit,
	}, {
		ID: "snapshotter.foreign-volume", Level: Must, Name: "volumes of others",
		Contract:    "a persistent volume that is not the snapshotter's own has an empty id and is no error",
		Consequence: "each volume of another driver makes the backup PartiallyFailed, or a snapshot of the wrong disk is taken",
		needs:       []need{snapshotter},
		run:         foreignVolumes,
	}, {
		ID: "snapshotter.hostile-volume", Level: Must, Name: "malformed volumes",
		Contract:    "a persistent volume with absent fields or values of a wrong type is an error or not the snapshotter's own, never a panic",
		Consequence: "one odd persistent volume ends the plugin's process and with it the snapshots of all volumes behind it",
		needs:       []need{snapshotter},
		run:         hostileVolumes,
	}, {
		ID: "snapshotter.own-volume", Level: Must, Name: "id of a volume",
		Contract:    "the id of one of its own persistent volumes is that of the volume behind it, each time",
		Consequence: "no snapshot is taken of the volume, or one of another volume",
		needs:       []need{snapshotter, ownVolume},
		run:         ownVolumeID,
	}, {
		ID: "snapshotter.set-volume-id", Level: Must, Name: "persistent volume of a restore",
		Contract:    "SetVolumeID returns the whole persistent volume with the new id, and all that the plugin does not know in it as it was",
		Consequence: "the restored persistent volume points to the old disk, or has lost fields",
		needs:       []need{snapshotter, ownVolume},
		run:         setVolumeID,
	}, {
		ID: "snapshotter.volume-info", Level: Must, Name: "type of a volume",
		Contract:    "a volume has a type, IOPS are not negative, and a volume that does not exist is an error",
		Consequence: "the volume is restored with another type or speed, or the backup records a volume that is not there",
		needs:       []need{snapshotter, volume},
		run:         volumeInfo,
	}, {
		ID: "snapshotter.snapshot", Level: Must, Name: "snapshot",
		Contract:    "a snapshot with the tags that Velero gives has an id, and can be deleted by another process",
		Consequence: "the backup has no data of the volume, or its snapshots stay and cost money when it is deleted",
		needs:       []need{snapshotter, volume}, timeout: 10 * time.Minute,
		run: takeSnapshot,
	}, {
		ID: "snapshotter.tags", Level: Must, Name: "tags",
		Contract:    "snapshots without tags and with 60 tags, some of them empty, are taken, and each has an id of its own",
		Consequence: "a backup with many labels has no snapshots",
		needs:       []need{snapshotter, volume}, timeout: 10 * time.Minute,
		run: snapshotTags,
	}, {
		ID: "snapshotter.delete-absent", Level: Must, Name: "absent snapshots",
		Contract:    "deleting a snapshot that is not there is success",
		Consequence: "a backup whose snapshots are gone cannot be deleted",
		needs:       []need{snapshotter, volume}, timeout: 10 * time.Minute,
		run: deleteAbsentSnapshot,
	}, {
		ID: "snapshotter.delete-empty", Level: Should, Name: "snapshot without an id",
		Contract:    "deleting the snapshot with the empty id is success",
		Consequence: "a backup with a failed snapshot, for which Velero has no id, cannot be deleted",
		needs:       []need{snapshotter, volume},
		run:         deleteNoSnapshot,
	}, {
		ID: "snapshotter.create-volume", Level: Must, Name: "volume from a snapshot",
		Contract:    "a volume of the same type is made of a snapshot; without zone and IOPS one is made or the error says what is missing, and the plugin lives on",
		Consequence: "the volume cannot be restored",
		needs:       []need{snapshotter, volume, removableVolumes}, timeout: 20 * time.Minute,
		run: createVolume,
	}}
}

func snapshotter(s *Suite) string {
	switch {
	case s.listErr != nil:
		return "the plugin cannot be listed"
	case len(s.names(wire.VolumeSnapshotter)) == 0:
		return "the plugin lists no volume snapshotter"
	case s.plugin.Snapshotter == nil:
		return "no configuration for the plugin's volume snapshotter is given"
	}
	return ""
}

func volume(s *Suite) string {
	if s.plugin.Snapshotter == nil || s.plugin.Snapshotter.VolumeID == "" {
		return "no volume is given to take snapshots of"
	}
	return ""
}

func ownVolume(s *Suite) string {
	if s.plugin.Snapshotter == nil || s.plugin.Snapshotter.PersistentVolume == nil {
		return "no persistent volume of the volume snapshotter is given"
	}
	return ""
}

func removableVolumes(s *Suite) string {
	if s.plugin.Snapshotter == nil || s.plugin.Snapshotter.DeleteVolume == nil {
		return "there is no way to remove the volumes that it would create"
	}
	return ""
}

// snapshotterName returns the volume snapshotter to be checked.
func (s *Suite) snapshotterName() string {
	if s.plugin.Snapshotter.Name != "" {
		return s.plugin.Snapshotter.Name
	}
	return s.names(wire.VolumeSnapshotter)[0]
}

func (s *session) snapshotter(p *host.Plugin) wire.Snapshotter {
	return wire.Snapshotter{Conn: p.Conn, Name: s.snapshotterName()}
}

// openSnapshotter starts the plugin and initializes its volume snapshotter.
func (s *session) openSnapshotter(ctx context.Context) (wire.Snapshotter, *host.Plugin, error) {
	p, err := s.start()
	if err != nil {
		return wire.Snapshotter{}, nil, err
	}
	v := s.snapshotter(p)
	return v, p, s.initSnapshotter(ctx, v)
}

func (s *session) initSnapshotter(ctx context.Context, v wire.Snapshotter) error {
	if err := v.Init(ctx, s.plugin.Snapshotter.Config); err != nil {
		return fmt.Errorf("calling Init: %w", err)
	}
	return nil
}

// foreign returns persistent volumes that no snapshotter of native disks owns.
func foreign() []sample {
	pv := func(about, source string) sample {
		return sample{about, []byte(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"plugintest"},` +
			`"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],` + source + `}}`)}
	}
	return []sample{
		pv("of NFS", `"nfs":{"server":"nfs.example.com","path":"/exports"}`),
		pv("of a host's folder", `"hostPath":{"path":"/data","type":""}`),
		pv("of a local disk", `"local":{"path":"/mnt/disk"}`),
		pv("of another CSI driver", `"csi":{"driver":"plugintest.example.com","volumeHandle":"plugintest-1"}`),
		pv("without a source", `"volumeMode":"Block"`),
	}
}

func foreignVolumes(ctx context.Context, s *session) error {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	for _, pv := range foreign() {
		id, err := v.VolumeID(ctx, pv.json)
		if err != nil {
			return fmt.Errorf("GetVolumeID of a persistent volume %s: %w", pv.about, err)
		}
		if id != "" {
			return fmt.Errorf("a persistent volume %s has the id %q", pv.about, id)
		}
	}
	return nil
}

// malformedVolumes returns persistent volumes that no API server would accept.
func (s *Suite) malformedVolumes() ([]sample, error) {
	models := foreign()
	if own := s.plugin.Snapshotter.PersistentVolume; own != nil {
		models = append(models, sample{"of its own", own})
	}
	malformed := []sample{
		{"that is empty", nil}, {"that is null", []byte("null")}, {"that is a list", []byte("[]")},
		{"that is no JSON", []byte(`{"spec":`)}, {"without fields", []byte("{}")},
		{"with a kind only", []byte(`{"kind":"PersistentVolume"}`)},
	}
	for _, model := range models {
		variants, err := distorted(model.json, 4)
		if err != nil {
			return nil, fmt.Errorf("the persistent volume %s: %w", model.about, err)
		}
		for _, v := range variants {
			malformed = append(malformed, sample{model.about + " with " + v.about, v.json})
		}
	}
	return malformed, nil
}

func hostileVolumes(ctx context.Context, s *session) error {
	volumes, err := s.malformedVolumes()
	if err != nil {
		return err
	}
	v, p, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	for _, pv := range volumes {
		_, err := v.VolumeID(ctx, pv.json)
		if err := panicked(err); err != nil {
			return fmt.Errorf("GetVolumeID of a persistent volume %s: %w", pv.about, err)
		}
		changed, err := v.SetVolumeID(ctx, pv.json, "plugintest-1")
		if err := panicked(err); err != nil {
			return fmt.Errorf("SetVolumeID of a persistent volume %s: %w", pv.about, err)
		}
		if err == nil {
			if _, err := decode(changed); err != nil {
				return fmt.Errorf("SetVolumeID of a persistent volume %s returns %.100q", pv.about, changed)
			}
		}
		if err := alive(ctx, p); err != nil {
			return fmt.Errorf("after a persistent volume %s: %w", pv.about, err)
		}
	}
	return nil
}

func ownVolumeID(ctx context.Context, s *session) error {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	_, err = s.checkOwnID(ctx, v)
	return err
}

// checkOwnID asks twice for the id of the snapshotter's own persistent volume.
func (s *session) checkOwnID(ctx context.Context, v wire.Snapshotter) (string, error) {
	var first string
	for range 2 {
		id, err := v.VolumeID(ctx, s.plugin.Snapshotter.PersistentVolume)
		if err != nil {
			return "", fmt.Errorf("GetVolumeID: %w", err)
		}
		want := s.plugin.Snapshotter.VolumeID
		switch {
		case id == "":
			return "", errors.New("the id is empty, as if the volume were not the snapshotter's own")
		case want != "" && id != want:
			return "", fmt.Errorf("the id is %q, the volume is %q", id, want)
		case first != "" && id != first:
			return "", fmt.Errorf("the id is %q and then %q", first, id)
		}
		first = id
	}
	return first, nil
}

func setVolumeID(ctx context.Context, s *session) error {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	id, err := s.checkOwnID(ctx, v)
	if err != nil {
		return err
	}
	other := otherID(id)
	pv, err := probed(s.plugin.Snapshotter.PersistentVolume)
	if err != nil {
		return err
	}
	changed, err := v.SetVolumeID(ctx, pv, other)
	if err != nil {
		return fmt.Errorf("SetVolumeID: %w", err)
	}
	if err := wholeVolume(pv, changed); err != nil {
		return err
	}
	got, err := v.VolumeID(ctx, changed)
	if err != nil || got != other {
		return fmt.Errorf("after SetVolumeID to %q GetVolumeID gives %q, %w", other, got, err)
	}
	return nil
}

// otherID returns an id of the same form. Nothing is done with its volume.
func otherID(id string) string {
	last := "0"
	if strings.HasSuffix(id, last) {
		last = "1"
	}
	return id[:len(id)-1] + last
}

// probed returns a persistent volume with the probe beside its fields and in
// its spec.
func probed(pv []byte) ([]byte, error) {
	fields, err := decode(pv)
	if err != nil {
		return nil, fmt.Errorf("the persistent volume of the configuration: %w", err)
	}
	fields[probeField] = json.RawMessage(probe)
	if spec, ok := fields["spec"].(map[string]any); ok {
		spec[probeField] = json.RawMessage(probe)
	}
	return json.Marshal(fields)
}

// wholeVolume returns an error if a persistent volume has lost or changed a field
// that does not say where its data is.
func wholeVolume(before, after []byte) error {
	if err := checkReturned(after); err != nil {
		return err
	}
	old, err := decode(before)
	if err != nil {
		return err
	}
	changed, err := decode(after)
	if err != nil {
		return err
	}
	for _, path := range [][]string{
		{"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "uid"}, {"spec", probeField}, {"spec", "capacity"},
		{"spec", "accessModes"}, {"spec", "claimRef"}, {"spec", "persistentVolumeReclaimPolicy"}, {"spec", "storageClassName"},
	} {
		if was, is := at(old, path), at(changed, path); !reflect.DeepEqual(was, is) {
			return fmt.Errorf("the field %s was %v and is %v", strings.Join(path, "."), was, is)
		}
	}
	return nil
}

// at returns the value at a path, or nil.
func at(fields map[string]any, path []string) any {
	var value any = fields
	for _, key := range path {
		inner, _ := value.(map[string]any)
		value = inner[key]
	}
	return value
}

func volumeInfo(ctx context.Context, s *session) error {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	c := s.plugin.Snapshotter
	kind, iops, err := v.VolumeInfo(ctx, c.VolumeID, c.Zone)
	switch {
	case err != nil:
		return fmt.Errorf("GetVolumeInfo of %s: %w", c.VolumeID, err)
	case kind == "" || iops < 0:
		return fmt.Errorf("the volume %s has the type %q and %d IOPS", c.VolumeID, kind, iops)
	}
	if _, _, err := v.VolumeInfo(ctx, "plugintest-no-such-volume", c.Zone); err == nil {
		return errors.New("GetVolumeInfo of a volume that does not exist is no error")
	}
	return nil
}

// tagsOfVelero are the tags that Velero gives to a snapshot: the labels of the
// backup and two of its own.
func (s *session) tagsOfVelero() map[string]string {
	return map[string]string{
		"velero.io/backup": s.run, "velero.io/pv": "plugintest", "velero.io/storage-location": "default",
	}
}

// create takes a snapshot. The caller deletes it.
func (s *session) create(ctx context.Context, v wire.Snapshotter, tags map[string]string) (string, error) {
	c := s.plugin.Snapshotter
	id, err := v.Create(ctx, c.VolumeID, c.Zone, tags)
	switch {
	case err != nil:
		return "", fmt.Errorf("CreateSnapshot with %d tags: %w", len(tags), err)
	case id == "":
		return "", fmt.Errorf("CreateSnapshot with %d tags gives no id", len(tags))
	}
	return id, nil
}

func takeSnapshot(ctx context.Context, s *session) error {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	id, err := s.create(ctx, v, s.tagsOfVelero())
	if err != nil {
		return err
	}
	s.figure("snapshot", time.Since(began).Seconds(), "s")
	return s.deleteElsewhere(ctx, id)
}

// deleteElsewhere deletes a snapshot as Velero does: in another process than
// the one that took it.
func (s *session) deleteElsewhere(ctx context.Context, id string) error {
	v, _, err := s.openSnapshotter(ctx)
	if err == nil {
		err = v.Delete(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("deleting the snapshot %s: %w", id, err)
	}
	return nil
}

func snapshotTags(ctx context.Context, s *session) (err error) {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	many := s.tagsOfVelero()
	for i := range 60 - len(many) {
		many[fmt.Sprintf("plugintest.example.com/label-%d", i)] = strings.Repeat("x", i%3)
	}
	taken := map[string]bool{}
	defer func() {
		for id := range taken {
			err = errors.Join(err, v.Delete(ctx, id))
		}
	}()
	for _, tags := range []map[string]string{nil, many} {
		id, err := s.create(ctx, v, tags)
		if err != nil {
			return err
		}
		if taken[id] {
			return fmt.Errorf("two snapshots have the id %s", id)
		}
		taken[id] = true
	}
	return nil
}

func deleteAbsentSnapshot(ctx context.Context, s *session) error {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	absent := s.plugin.Snapshotter.AbsentSnapshotID
	if absent == "" {
		if absent, err = s.create(ctx, v, s.tagsOfVelero()); err != nil {
			return err
		}
		if err := v.Delete(ctx, absent); err != nil {
			return fmt.Errorf("deleting the snapshot %s: %w", absent, err)
		}
	}
	if err := s.deleteElsewhere(ctx, absent); err != nil {
		return fmt.Errorf("it does not exist: %w", err)
	}
	return nil
}

func deleteNoSnapshot(ctx context.Context, s *session) error {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	if err := v.Delete(ctx, ""); err != nil {
		return fmt.Errorf("DeleteSnapshot: %w", err)
	}
	return nil
}

func createVolume(ctx context.Context, s *session) (err error) {
	c := s.plugin.Snapshotter
	v, p, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	kind, iops, err := v.VolumeInfo(ctx, c.VolumeID, c.Zone)
	if err != nil {
		return fmt.Errorf("GetVolumeInfo of %s: %w", c.VolumeID, err)
	}
	snapshot, err := s.create(ctx, v, s.tagsOfVelero())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.deleteElsewhere(ctx, snapshot)) }()
	if err := s.restoreVolume(ctx, v, snapshot, kind, iops); err != nil {
		return err
	}
	return errors.Join(s.restoreWithoutZone(ctx, v, snapshot, kind), alive(ctx, p))
}

// restoreWithoutZone makes a volume without a zone and IOPS, as Velero may ask for it.
// The plugin may refuse it with an error.
func (s *session) restoreWithoutZone(ctx context.Context, v wire.Snapshotter, snapshot, kind string) error {
	id, err := v.CreateVolume(ctx, snapshot, kind, "", 0)
	switch {
	case err == nil && id == "":
		return errors.New("CreateVolumeFromSnapshot without a zone gives no id and no error")
	case err == nil:
		return s.plugin.Snapshotter.DeleteVolume(ctx, id)
	case strings.TrimSpace(status.Convert(err).Message()) == "":
		return errors.New("CreateVolumeFromSnapshot without a zone fails for no reason")
	}
	return panicked(err)
}

// restoreVolume makes a volume like the one that a snapshot was taken of, and
// removes it again.
func (s *session) restoreVolume(ctx context.Context, v wire.Snapshotter, snapshot, kind string, iops int64) (err error) {
	c := s.plugin.Snapshotter
	id, err := v.CreateVolume(ctx, snapshot, kind, c.Zone, iops)
	switch {
	case err != nil:
		return fmt.Errorf("CreateVolumeFromSnapshot: %w", err)
	case id == "" || id == c.VolumeID:
		return fmt.Errorf("the volume that was made of a snapshot of %q has the id %q", c.VolumeID, id)
	}
	defer func() { err = errors.Join(err, c.DeleteVolume(ctx, id)) }()
	got, _, err := v.VolumeInfo(ctx, id, c.Zone)
	if err != nil || got != kind {
		return fmt.Errorf("the volume %s has the type %q instead of %q, %w", id, got, kind, err)
	}
	return nil
}

func snapshotterInit(ctx context.Context, s *session) error {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	return s.askWithInits(ctx, v)
}

// askWithInits asks for ids of volumes while Init is repeated.
func (s *session) askWithInits(ctx context.Context, v wire.Snapshotter) error {
	const workers, inits = 8, 40
	c := s.plugin.Snapshotter
	configs := []map[string]string{c.Config}
	if c.Alternate != nil {
		configs = append(configs, c.Alternate)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return inParallel(workers+1, func(i int) error {
		if i < workers {
			return s.askUntil(ctx, v)
		}
		defer stop()
		for n := range inits {
			if err := v.Init(ctx, configs[n%len(configs)]); err != nil {
				return fmt.Errorf("calling Init: %w", err)
			}
		}
		return nil
	})
}

func (s *session) askUntil(ctx context.Context, v wire.Snapshotter) error {
	whole := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		if err := s.askOnce(whole, v); err != nil {
			return err
		}
	}
	return nil
}

// askOnce makes the calls that need no more than the configuration.
func (s *session) askOnce(ctx context.Context, v wire.Snapshotter) error {
	id, err := v.VolumeID(ctx, foreign()[0].json)
	if err != nil || id != "" {
		return fmt.Errorf("the id of a volume of NFS is %q, %w", id, err)
	}
	if s.plugin.Snapshotter.PersistentVolume == nil {
		return nil
	}
	_, err = s.checkOwnID(ctx, v)
	return err
}

func snapshotterInitLeak(ctx context.Context, s *session) error {
	v, p, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	return noLeak(ctx, p.Process, func() error { return s.askWithInits(ctx, v) })
}

func snapshotterBadConfig(ctx context.Context, s *session) error {
	v, _, err := s.openSnapshotter(ctx)
	if err != nil {
		return err
	}
	config := maps.Clone(s.plugin.Snapshotter.Config)
	if config == nil {
		config = map[string]string{}
	}
	config[unknownKey] = "x"
	if err := refusesKey(v.Init(ctx, config)); err != nil {
		return err
	}
	if err := s.askOnce(ctx, v); err != nil {
		return fmt.Errorf("after the failed Init: %w", err)
	}
	return nil
}

func snapshotterNoInit(ctx context.Context, s *session) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	v := s.snapshotter(p)
	_, err = v.Create(ctx, "plugintest-no-such-volume", "", nil)
	if err == nil {
		return errors.New("before Init CreateSnapshot is no error")
	}
	return errors.Join(panicked(err), alive(ctx, p), s.initSnapshotter(ctx, v))
}
