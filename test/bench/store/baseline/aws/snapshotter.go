package main

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/runtime"
)

var errNotMeasured = errors.New("the baseline plugin takes no volume snapshots")

// volumeSnapshotter gives the binary the weight that the EC2 client has in a
// real plugin. No benchmark calls it, so it goes no further than that.
type volumeSnapshotter struct {
	log logrus.FieldLogger
	ec2 *ec2.Client
}

func (v *volumeSnapshotter) Init(location map[string]string) error {
	cfg, err := loadConfig(location)
	if err != nil {
		return err
	}
	v.ec2 = ec2.NewFromConfig(cfg)
	return nil
}

func (v *volumeSnapshotter) GetVolumeInfo(volumeID, _ string) (string, *int64, error) {
	volumes, err := v.ec2.DescribeVolumes(context.Background(), &ec2.DescribeVolumesInput{
		VolumeIds: []string{volumeID},
	})
	if err != nil {
		return "", nil, err
	}
	if len(volumes.Volumes) != 1 {
		return "", nil, errors.New("expected one volume " + volumeID)
	}
	volume := volumes.Volumes[0]
	if volume.Iops == nil || volume.VolumeType == types.VolumeTypeGp2 {
		return string(volume.VolumeType), nil, nil
	}
	iops := int64(*volume.Iops)
	return string(volume.VolumeType), &iops, nil
}

func (v *volumeSnapshotter) CreateSnapshot(volumeID, _ string, _ map[string]string) (string, error) {
	snapshot, err := v.ec2.CreateSnapshot(context.Background(), &ec2.CreateSnapshotInput{
		VolumeId: aws.String(volumeID),
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(snapshot.SnapshotId), nil
}

func (v *volumeSnapshotter) DeleteSnapshot(snapshotID string) error {
	_, err := v.ec2.DeleteSnapshot(context.Background(), &ec2.DeleteSnapshotInput{
		SnapshotId: aws.String(snapshotID),
	})
	return err
}

func (v *volumeSnapshotter) CreateVolumeFromSnapshot(snapshotID, volumeType, volumeAZ string, _ *int64) (string, error) {
	volume, err := v.ec2.CreateVolume(context.Background(), &ec2.CreateVolumeInput{
		SnapshotId:       aws.String(snapshotID),
		AvailabilityZone: aws.String(volumeAZ),
		VolumeType:       types.VolumeType(volumeType),
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(volume.VolumeId), nil
}

func (v *volumeSnapshotter) GetVolumeID(runtime.Unstructured) (string, error) {
	return "", errNotMeasured
}

func (v *volumeSnapshotter) SetVolumeID(runtime.Unstructured, string) (runtime.Unstructured, error) {
	return nil, errNotMeasured
}
