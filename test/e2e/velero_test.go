package e2e

import (
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/e2e/cases"
)

func TestBackupAndRestore(t *testing.T) { cases.BackupAndRestore(t, &servers) }

func TestBackupIsFoundInTheBucket(t *testing.T) { cases.BackupIsFoundInTheBucket(t, &servers) }
