package ebs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// volume describes one volume.
func (e *ebs) volume(ctx context.Context, id string) (types.Volume, error) {
	out, err := e.client.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{id}})
	if err != nil {
		return types.Volume{}, err
	}
	if n := len(out.Volumes); n != 1 {
		return types.Volume{}, &fault.Error{Code: CodeVolumeNotFound, Err: fmt.Errorf("expected 1 volume from DescribeVolumes for %s, got %d", id, n)}
	}
	return out.Volumes[0], nil
}

// VolumeInfo returns a volume's type, and its IOPS where the type has some of its
// own.
func (e *ebs) VolumeInfo(ctx context.Context, id string) (sdk.VolumeInfoResult, error) {
	v, err := e.volume(ctx, id)
	if err != nil {
		return sdk.VolumeInfoResult{}, explain("error getting volume "+id, err)
	}
	result := sdk.VolumeInfoResult{VolumeType: string(v.VolumeType)}
	if hasIOPS(v.VolumeType) {
		result.IOPS = int64(aws.ToInt32(v.Iops))
	}
	return result, nil
}

// hasIOPS reports whether a volume of the type is created with IOPS.
func hasIOPS(t types.VolumeType) bool {
	return t == types.VolumeTypeIo1 || t == types.VolumeTypeIo2 || t == types.VolumeTypeGp3
}

// CreateVolume makes a volume of a snapshot and returns its id.
func (e *ebs) CreateVolume(ctx context.Context, in sdk.CreateVolumeInput) (string, error) {
	what := "error creating a volume of snapshot " + in.SnapshotID
	snapshot, err := e.awaitSnapshot(ctx, in.SnapshotID)
	if err != nil {
		return "", explain(what, err)
	}
	input, err := e.volumeInput(snapshot, types.VolumeType(in.VolumeType), in.Zone, in.IOPS)
	if err != nil {
		return "", explain(what, err)
	}
	// The SDK adds a token by which EC2 recognizes a request that is sent again.
	volume, err := e.client.CreateVolume(ctx, input)
	if err != nil {
		return "", explain(what, err)
	}
	id := aws.ToString(volume.VolumeId)
	if err := e.awaitVolume(ctx, id, aws.ToBool(volume.Encrypted)); err != nil {
		return "", explain(what, err)
	}
	return id, nil
}

// volumeInput describes the volume to make.
func (e *ebs) volumeInput(snapshot types.Snapshot, volumeType types.VolumeType, zone string, iops int64) (*ec2.CreateVolumeInput, error) {
	tags := tagMap(snapshot.Tags)
	if zone == "" {
		zone = tags[zoneTag]
	}
	if zone == "" {
		return nil, &fault.Error{Code: CodeZoneMissing, Err: errors.New("the availability zone is not known")}
	}
	input := &ec2.CreateVolumeInput{
		SnapshotId:        snapshot.SnapshotId,
		AvailabilityZone:  aws.String(e.zone(zone)),
		VolumeType:        volumeType,
		Encrypted:         snapshot.Encrypted,
		TagSpecifications: specification(types.ResourceTypeVolume, e.volumeTags(tags, e.log)),
	}
	if e.kmsKey != "" {
		input.Encrypted, input.KmsKeyId = aws.Bool(true), &e.kmsKey
	}
	if hasIOPS(volumeType) && iops != 0 {
		if iops < 0 || iops > math.MaxInt32 {
			return nil, &fault.Error{Code: CodeRefused, Err: fmt.Errorf("%d IOPS are out of range", iops)}
		}
		input.Iops = aws.Int32(int32(iops))
	}
	if n, err := strconv.ParseInt(tags[throughputTag], 10, 32); err == nil && volumeType == types.VolumeTypeGp3 {
		input.Throughput = aws.Int32(int32(n))
	}
	if outpost := tags[outpostTag]; outpost != "" {
		if e.zone(zone) == tags[zoneTag] {
			input.OutpostArn = &outpost
		} else {
			e.log.Warn("the volume of the backup was on an Outpost; the restored one is in another zone, in the region",
				"snapshot", aws.ToString(snapshot.SnapshotId), "outpost", outpost, "zone", e.zone(zone))
		}
	}
	if tags[multiAttachTag] == "true" && (volumeType == types.VolumeTypeIo1 || volumeType == types.VolumeTypeIo2) {
		input.MultiAttachEnabled = aws.Bool(true)
	}
	return input, nil
}

func decimal(n int32) string { return strconv.FormatInt(int64(n), 10) }

// visibleTime is how long EC2 may answer NotFound for a volume that it has just
// created.
const visibleTime = time.Minute

// awaitVolume waits until a volume can be attached, for at most
// volumeCreationTimeout once EC2 knows the volume. EC2 answers before it uses the
// KMS key, and removes the volume without a word when it cannot.
func (e *ebs) awaitVolume(ctx context.Context, id string, encrypted bool) error {
	began, seen := e.clock.Now(), false
	for {
		v, err := e.volume(ctx, id)
		elapsed := e.clock.Now().Sub(began)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case answered(err, "InvalidVolume.NotFound"):
			if seen || elapsed >= visibleTime {
				return vanished(id, encrypted)
			}
		case err != nil:
			// EC2 has answered with a volume. That Velero may not describe it is no
			// reason to fail, which would leave the volume behind.
			e.log.Warn("a new volume cannot be watched, so that it is not known whether it can be used", "volume", id, "error", explain("", err).Error())
			return nil
		case v.State == types.VolumeStateAvailable, v.State == types.VolumeStateInUse:
			return nil
		case v.State != types.VolumeStateCreating:
			return &fault.Error{Code: failureCode(encrypted), Err: fmt.Errorf("volume %s is in state %s", id, v.State)}
		default:
			seen = true
		}
		if seen && elapsed >= e.volumeCreationTimeout {
			e.log.Warn("a new volume is still being created", "volume", id, "after", elapsed.String())
			return nil
		}
		if err := e.clock.Sleep(ctx, e.volumeCreationPollInterval); err != nil {
			return err
		}
	}
}

func vanished(id string, encrypted bool) error {
	return &fault.Error{Code: failureCode(encrypted), Err: fmt.Errorf("EC2 accepted volume %s and then removed it", id)}
}

// failureCode returns the code for the usual reason why EC2 does not complete a
// volume.
func failureCode(encrypted bool) fault.Code {
	if encrypted {
		return CodeKMS
	}
	return CodeVolumeFailed
}
