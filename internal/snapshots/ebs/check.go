package ebs

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// Checks implements sdk.Checked.
func (s *Snapshotter) Checks(ctx context.Context, in sdk.ChecksInput) ([]sdk.Check, error) {
	p, err := prepare(ctx, in.Config)
	if err != nil {
		return nil, err
	}
	for _, warning := range p.identity.Warnings {
		s.log.Warn(warning)
	}
	cfg, err := s.configure(ctx, p)
	if err != nil {
		return nil, err
	}
	c := &checker{ebs: s.build(p, cfg)}
	return []sdk.Check{
		{Name: "DNS", Run: endpoint.Target(c.target).Resolve},
		{Name: "TLS", Run: endpoint.Target(c.target).Connect},
		{Name: "credentials", Run: func(ctx context.Context) (string, error) { return p.identity.Retrieve(ctx, cfg) }},
		{Name: "account", Run: func(ctx context.Context) (string, error) { return awsaccess.Account(ctx, cfg) }},
		{Name: "region", Run: c.describe},
		{Name: "permissions", Run: c.permissions},
	}, nil
}

// checker runs the steps of one check, in order.
type checker struct {
	*ebs
	volumes   []types.Volume   // found by describe
	snapshots []types.Snapshot // found by describe
}

// target returns the URL that requests go to.
func (c *checker) target(ctx context.Context) (endpoint.Probe, *url.URL, error) {
	probe := endpoint.Probe{Trust: c.trust, Settings: names}
	options := c.client.Options()
	found, err := options.EndpointResolverV2.ResolveEndpoint(ctx, ec2.EndpointParameters{
		Region:       &c.region,
		Endpoint:     options.BaseEndpoint,
		UseDualStack: aws.Bool(options.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		UseFIPS:      aws.Bool(options.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
	})
	if err != nil {
		return probe, nil, fmt.Errorf("error finding the address of EC2 in region %q: %w", c.region, err)
	}
	return probe, &found.URI, nil
}

// describe lists some volumes and snapshots, for the step "permissions" to try on.
func (c *checker) describe(ctx context.Context) (string, error) {
	const some = 100
	volumes, err := c.client.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{MaxResults: aws.Int32(some)})
	if err != nil {
		return "", explain("error describing the volumes in "+c.region, err)
	}
	snapshots, err := c.client.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, MaxResults: aws.Int32(some)})
	if err != nil {
		return "", explain("error describing the snapshots in "+c.region, err)
	}
	c.volumes, c.snapshots = volumes.Volumes, snapshots.Snapshots
	return fmt.Sprintf("%s, volumes and snapshots can be described", c.region), nil
}

// permissions asks EC2 whether it would carry out what Velero needs, without
// doing so.
func (c *checker) permissions(ctx context.Context) (string, error) {
	volume, snapshot := c.example()
	tags := map[string]string{"velero.io/backup": "check"}
	_, createSnapshot := c.client.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{
		DryRun: aws.Bool(true), VolumeId: volume.VolumeId, TagSpecifications: specification(types.ResourceTypeSnapshot, tags),
	})
	_, createVolume := c.client.CreateVolume(ctx, &ec2.CreateVolumeInput{
		DryRun: aws.Bool(true), SnapshotId: snapshot.SnapshotId, AvailabilityZone: volume.AvailabilityZone,
		TagSpecifications: specification(types.ResourceTypeVolume, tags),
	})
	_, deleteSnapshot := c.client.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{DryRun: aws.Bool(true), SnapshotId: snapshot.SnapshotId})

	var permitted, unknown []string
	for _, attempt := range []struct {
		action string
		err    error
	}{
		{"ec2:CreateSnapshot with ec2:CreateTags", createSnapshot},
		{"ec2:CreateVolume with ec2:CreateTags", createVolume},
		{"ec2:DeleteSnapshot", deleteSnapshot},
	} {
		switch {
		case answered(attempt.err, "DryRunOperation"):
			permitted = append(permitted, attempt.action)
		case answered(attempt.err, "InvalidVolume.NotFound"), answered(attempt.err, "InvalidSnapshot.NotFound"), answered(attempt.err, "InvalidZone.NotFound"):
			unknown = append(unknown, attempt.action) // there is nothing to try it on
		default:
			return "", explain("error trying "+attempt.action, attempt.err)
		}
	}
	switch {
	case len(unknown) == 0:
		return strings.Join(permitted, ", "), nil
	case len(permitted) == 0:
		return "not known, as there is no volume to try them on", nil
	}
	return strings.Join(permitted, ", ") + "; not known without a snapshot to try it on: " + strings.Join(unknown, ", "), nil
}

// example returns a volume and a snapshot to try permissions on: those of
// Kubernetes and Velero if there are some, as policies may be limited to them, and
// invented ones where there is none.
func (c *checker) example() (types.Volume, types.Snapshot) {
	volume := types.Volume{VolumeId: aws.String("vol-0123456789abcdef0"), AvailabilityZone: aws.String(c.region + "a")}
	if len(c.volumes) > 0 {
		volume = c.volumes[0]
	}
	for _, v := range c.volumes {
		if hasPrefix(v.Tags, "kubernetes.io/") {
			volume = v
		}
	}
	snapshot := types.Snapshot{SnapshotId: aws.String("snap-0123456789abcdef0")}
	if len(c.snapshots) > 0 {
		snapshot = c.snapshots[0]
	}
	for _, s := range c.snapshots {
		if hasPrefix(s.Tags, "velero.io/") {
			snapshot = s
		}
	}
	return volume, snapshot
}

func hasPrefix(tags []types.Tag, prefix string) bool {
	for _, tag := range tags {
		if strings.HasPrefix(aws.ToString(tag.Key), prefix) {
			return true
		}
	}
	return false
}
