package ebs

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

const (
	// snapshotInterval is the least time that EC2 demands between two snapshots of a
	// volume.
	snapshotInterval = 15 * time.Second
	// beginTime bounds the attempts to begin a snapshot.
	beginTime = 2 * time.Minute
	// clockMargin is the largest difference between the clocks of EC2 and of this
	// machine; EC2 refuses signatures beyond it.
	clockMargin = 5 * time.Minute
)

// CreateSnapshot begins a snapshot of a volume and returns its id.
func (e *ebs) CreateSnapshot(ctx context.Context, volumeID string, velero map[string]string) (string, error) {
	what := "error creating a snapshot of volume " + volumeID
	volume, err := e.volume(ctx, volumeID)
	if err != nil {
		return "", explain(what, err)
	}
	tags := e.snapshotTags(velero, volume, e.log)
	id, err := e.beginSnapshot(ctx, volumeID, tags)
	return id, explain(what, err)
}

// beginSnapshot sends the request, and again if that fails in a way that may pass.
// EC2 cannot recognize a request that is sent again. So when the first may have been
// carried out, beginSnapshot looks for its snapshot before it sends another.
func (e *ebs) beginSnapshot(ctx context.Context, volumeID string, tags map[string]string) (string, error) {
	began, doubtful := e.clock.Now(), false
	for {
		out, err := e.client.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{
			VolumeId:          &volumeID,
			TagSpecifications: specification(types.ResourceTypeSnapshot, tags),
		}, once)
		if err == nil {
			return aws.ToString(out.SnapshotId), nil
		}
		doubtful = doubtful || ambiguous(err)
		again := (ambiguous(err) || answered(err, rateExceeded)) && e.clock.Now().Sub(began) < beginTime
		if again {
			e.log.Info("the request for a snapshot is made again", "volume", volumeID, "error", explain("", err).Error())
			if err := e.clock.Sleep(ctx, snapshotInterval); err != nil {
				return "", err
			}
		}
		if doubtful {
			id, findErr := e.findSnapshot(ctx, volumeID, tags, began)
			if id != "" || findErr != nil {
				return id, findErr
			}
		}
		if !again {
			return "", err
		}
	}
}

// once keeps the SDK from repeating a request that EC2 may have carried out.
func once(o *ec2.Options) { o.Retryer = unambiguous{o.Retryer} }

type unambiguous struct{ aws.Retryer }

func (u unambiguous) IsErrorRetryable(err error) bool {
	return !ambiguous(err) && u.Retryer.IsErrorRetryable(err)
}

// findSnapshot returns the id of a snapshot of the volume, "" when there is none,
// that was begun since then and has all of these tags.
func (e *ebs) findSnapshot(ctx context.Context, volumeID string, tags map[string]string, since time.Time) (string, error) {
	if len(tags) == 0 {
		return "", nil // nothing tells it from another's
	}
	pages := ec2.NewDescribeSnapshotsPaginator(e.client, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"},
		Filters:  []types.Filter{{Name: aws.String("volume-id"), Values: []string{volumeID}}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", err
		}
		for _, s := range page.Snapshots {
			if aws.ToTime(s.StartTime).After(since.Add(-clockMargin)) && contains(tagMap(s.Tags), tags) {
				return aws.ToString(s.SnapshotId), nil
			}
		}
	}
	return "", nil
}

func contains(tags, some map[string]string) bool {
	for key, value := range some {
		if got, ok := tags[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// DeleteSnapshot removes a snapshot. An absent one is success.
func (e *ebs) DeleteSnapshot(ctx context.Context, id string) error {
	_, err := e.client.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &id})
	if answered(err, "InvalidSnapshot.NotFound") {
		return nil
	}
	return explain("error deleting snapshot "+id, err)
}

// snapshot describes one snapshot.
func (e *ebs) snapshot(ctx context.Context, id string) (types.Snapshot, error) {
	out, err := e.client.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	if err != nil {
		return types.Snapshot{}, err
	}
	if n := len(out.Snapshots); n != 1 {
		return types.Snapshot{}, &fault.Error{Code: CodeSnapshotNotFound, Err: fmt.Errorf("expected 1 snapshot from DescribeSnapshots for %s, got %d", id, n)}
	}
	return out.Snapshots[0], nil
}

// Pauses between two looks at a snapshot that is not complete.
const (
	firstSnapshotLook = 5 * time.Second
	lastSnapshotLook  = 30 * time.Second
)

// awaitSnapshot returns a snapshot when volumes can be made of it.
func (e *ebs) awaitSnapshot(ctx context.Context, id string) (types.Snapshot, error) {
	deadline, pause := e.clock.Now().Add(e.snapshotReadyTimeout), firstSnapshotLook
	for {
		s, err := e.snapshot(ctx, id)
		if err != nil {
			return s, err
		}
		switch s.State {
		case types.SnapshotStateCompleted:
			return s, nil
		case types.SnapshotStatePending:
		default:
			return s, &fault.Error{Code: CodeSnapshotFailed, Err: fmt.Errorf("snapshot %s is in state %s: %s", id, s.State, aws.ToString(s.StateMessage))}
		}
		left := deadline.Sub(e.clock.Now())
		if left <= 0 {
			return s, &fault.Error{Code: CodeSnapshotPending, Err: fmt.Errorf("snapshot %s is still pending after %v, at %s", id, e.snapshotReadyTimeout, aws.ToString(s.Progress))}
		}
		e.log.Info("waiting for a snapshot to be complete", "snapshot", id, "progress", aws.ToString(s.Progress))
		if err := e.clock.Sleep(ctx, min(pause, left)); err != nil {
			return s, err
		}
		pause = min(2*pause, lastSnapshotLook)
	}
}
