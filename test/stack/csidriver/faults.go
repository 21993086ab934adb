package csidriver

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Always is a number of failures without end.
const Always = -1

// Faults says how the driver breaks. Its zero value is a driver that works. A call that
// cuts a snapshot copies the data at once, however long it then takes to return.
type Faults struct {
	// SnapshotTakes is how long a call that cuts a snapshot takes to return.
	SnapshotTakes time.Duration
	// HandleAfter is how long after the cut the driver answers with the error
	// Aborted in place of the handle.
	HandleAfter time.Duration
	// ReadyAfter is how long after the cut a snapshot is not ready to use.
	ReadyAfter time.Duration
	// FailSnapshots is how many calls that cut snapshots fail with
	// SnapshotError; Always means every one.
	FailSnapshots int
	// SnapshotError is what they fail with; nil is codes.Internal.
	SnapshotError error
	// FailDeletions is how many calls that delete snapshots fail; Always means
	// every one.
	FailDeletions int
	// RefuseMemberDeletion refuses to delete a member of a group by itself.
	RefuseMemberDeletion bool
	// ListSecret is what the secrets of a list of snapshots must have under the key
	// "token"; empty means that none is needed.
	ListSecret string
}

// SetFaults replaces the faults.
func (d *Driver) SetFaults(faults Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults
}

func (d *Driver) currentFaults() Faults {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults
}

// ForgetSnapshots loses snapshots, as storage does that was reset: they are
// neither listed nor found any more.
func (d *Driver) ForgetSnapshots(ids ...string) error {
	d.io.Lock()
	defer d.io.Unlock()
	for _, id := range ids {
		if d.snapshots[id] == nil {
			return fmt.Errorf("no snapshot %s to forget", id)
		}
		if err := d.removeSnapshot(id); err != nil {
			return err
		}
	}
	return nil
}

func (d *Driver) removeSnapshot(id string) error {
	if err := os.RemoveAll(d.SnapshotFolder(id)); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	delete(d.snapshots, id)
	return nil
}

// failSnapshot is the error of a call that cuts a snapshot, if it is to fail.
func (d *Driver) failSnapshot() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !spend(&d.faults.FailSnapshots) {
		return nil
	}
	if d.faults.SnapshotError != nil {
		return d.faults.SnapshotError
	}
	return status.Error(codes.Internal, "the storage cannot cut a snapshot")
}

// failDeletion is the error of a call that deletes snapshots, if it is to fail.
func (d *Driver) failDeletion() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !spend(&d.faults.FailDeletions) {
		return nil
	}
	return status.Error(codes.Internal, "the storage cannot delete the snapshot")
}

// spend takes one of the failures that are left and reports whether there was one.
func spend(left *int) bool {
	if *left > 0 {
		*left--
		return true
	}
	return *left == Always
}

// stamp sets the times of a snapshot that was just cut.
func (s *snapshot) stamp(faults Faults) {
	s.cut = time.Now()
	s.answered = s.cut.Add(faults.SnapshotTakes + faults.HandleAfter)
	s.ready = s.cut.Add(faults.ReadyAfter)
}

// answer waits as long as a call that cuts takes, and is the error of one that is
// told no handle yet. cutNow tells that this call made the cut.
func (s *snapshot) answer(ctx context.Context, faults Faults, cutNow bool) error {
	if cutNow && faults.SnapshotTakes > 0 {
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-time.After(faults.SnapshotTakes):
		}
	}
	if time.Now().Before(s.answered) {
		return status.Errorf(codes.Aborted, "the snapshot %s is being made", s.name)
	}
	return nil
}
