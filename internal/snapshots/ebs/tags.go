package ebs

import (
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Limits of EC2 for the tags of a resource; those of a tag are in characters.
const (
	maxTags     = 50
	maxTagKey   = 127
	maxTagValue = 256
)

// Tags of a snapshot that hold what Velero's interface has no room for. Volumes
// do not get them.
const (
	ownTags        = "velero.io/ebs-"
	throughputTag  = ownTags + "throughput" // MiB/s of a gp3 volume
	zoneTag        = ownTags + "az"
	multiAttachTag = ownTags + "multi-attach"
	outpostTag     = ownTags + "outpost" // ARN: arn:aws:outposts:eu-central-1:123456789012:outpost/op-0123456789abcdef0
)

// The tags with which Kubernetes on AWS marks what belongs to a cluster.
const (
	clusterTagPrefix = "kubernetes.io/cluster/"
	legacyClusterTag = "KubernetesCluster"
)

// isReserved reports whether a tag is one of AWS' own, aws:cloudformation:stack-name
// for example, which EC2 accepts from nobody else.
func isReserved(key string) bool { return strings.HasPrefix(strings.ToLower(key), "aws:") }

// snapshotTags returns the tags of a snapshot of a volume: what the volume has,
// what the configuration adds, and what Velero wants; the last counts.
func (s *settings) snapshotTags(velero map[string]string, volume types.Volume, log *slog.Logger) map[string]string {
	tags := map[string]string{}
	for key, value := range tagMap(volume.Tags) {
		if !isReserved(key) && !strings.HasPrefix(key, ownTags) && !s.excluded(key) {
			tags[key] = value
		}
	}
	maps.Copy(tags, s.tags)
	for key, value := range velero {
		if strings.HasPrefix(key, "velero.io/") || !isReserved(key) && !s.excluded(key) {
			tags[key] = value
		}
	}
	maps.Copy(tags, restoreTags(volume))
	return limit(tags, func(key string) int {
		_, fromVelero := velero[key]
		_, configured := s.tags[key]
		return rank(key, fromVelero, configured)
	}, log)
}

// restoreTags returns the tags of a snapshot that say what a restore has to know of
// the volume: velero.io/ebs-az=eu-central-1a.
func restoreTags(v types.Volume) map[string]string {
	tags := map[string]string{}
	if v.VolumeType == types.VolumeTypeGp3 && aws.ToInt32(v.Throughput) > 0 {
		tags[throughputTag] = decimal(*v.Throughput)
	}
	if zone := aws.ToString(v.AvailabilityZone); zone != "" {
		tags[zoneTag] = zone
	}
	if aws.ToBool(v.MultiAttachEnabled) {
		tags[multiAttachTag] = "true"
	}
	if outpost := aws.ToString(v.OutpostArn); outpost != "" {
		tags[outpostTag] = outpost
	}
	return tags
}

// volumeTags returns the tags of a volume that is made of a snapshot. With a
// cluster name the volume belongs to that cluster, and to no other.
func (s *settings) volumeTags(snapshot map[string]string, log *slog.Logger) map[string]string {
	tags := map[string]string{}
	for key, value := range snapshot {
		foreign := s.cluster != "" && (strings.HasPrefix(key, clusterTagPrefix) || key == legacyClusterTag)
		if !isReserved(key) && !strings.HasPrefix(key, ownTags) && !foreign {
			tags[key] = value
		}
	}
	maps.Copy(tags, s.tags)
	if s.cluster != "" {
		tags[clusterTagPrefix+s.cluster] = "owned"
		tags[legacyClusterTag] = s.cluster
	}
	return limit(tags, func(key string) int {
		_, configured := s.tags[key]
		return rank(key, false, configured)
	}, log)
}

// excluded reports whether excludeTags names a tag.
func (s *settings) excluded(key string) bool {
	return slices.ContainsFunc(s.excludeTags, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return key == pattern || open && strings.HasPrefix(key, prefix)
	})
}

// rank orders tags by how much they matter, from 0.
func rank(key string, fromVelero, configured bool) int {
	switch {
	case strings.HasPrefix(key, "velero.io/"):
		return 0
	case fromVelero:
		return 1
	case configured:
		return 2
	case strings.HasPrefix(key, "kubernetes.io/"), key == legacyClusterTag,
		strings.HasPrefix(key, "ebs.csi."), key == "CSIVolumeName", key == "CSIVolumeSnapshotName":
		return 3
	}
	return 4
}

// limit drops tags that EC2 refuses, and the least important of too many.
func limit(tags map[string]string, rank func(key string) int, log *slog.Logger) map[string]string {
	for key, value := range tags {
		if err := checkTag(key, value); err != nil {
			log.Warn("a tag is left out", "tag", key, "error", err.Error())
			delete(tags, key)
		}
	}
	if len(tags) <= maxTags {
		return tags
	}
	keys := slices.SortedFunc(maps.Keys(tags), func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	log.Warn("tags are left out, since EC2 takes at most 50; excludeTags chooses them", "tags", keys[maxTags:])
	for _, key := range keys[maxTags:] {
		delete(tags, key)
	}
	return tags
}

// tagMap returns the tags that EC2 lists.
func tagMap(list []types.Tag) map[string]string {
	tags := make(map[string]string, len(list))
	for _, tag := range list {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return tags
}

// specification returns the part of a request that tags what EC2 creates, or nil
// without tags, since EC2 refuses an empty one.
func specification(resource types.ResourceType, tags map[string]string) []types.TagSpecification {
	if len(tags) == 0 {
		return nil
	}
	spec := types.TagSpecification{ResourceType: resource}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		spec.Tags = append(spec.Tags, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return []types.TagSpecification{spec}
}
