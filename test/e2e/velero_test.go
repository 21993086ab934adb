package e2e

import (
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/e2e/cases"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

func TestBackupAndRestore(t *testing.T) { onEachStore(t, cases.BackupAndRestore) }

func TestBackupIsFoundInTheBucket(t *testing.T) { onEachStore(t, cases.BackupIsFoundInTheBucket) }

func TestBackupWithoutTarball(t *testing.T) { onEachStore(t, cases.BackupWithoutTarball) }

func onEachStore(t *testing.T, run func(*testing.T, *stack.Stack, cases.Store)) {
	t.Run("aws", func(t *testing.T) { run(t, &servers, cases.MinIO(t, &servers)) })
	t.Run("azure", func(t *testing.T) { run(t, &servers, cases.Azurite(t, &servers)) })
}
