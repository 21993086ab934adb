package velero

import (
	"crypto/sha256"
	"fmt"
)

// Labels and annotations of Velero.
const (
	BackupLabel          = "velero.io/backup-name"
	RestoreLabel         = "velero.io/restore-name"
	ExcludeLabel         = "velero.io/exclude-from-backup"
	VolumesExcludesKey   = "backup.velero.io/backup-volumes-excludes"
	PostHookCommandKey   = "post.hook.restore.velero.io/command"
	PostHookTimeoutKey   = "post.hook.restore.velero.io/exec-timeout"
	PostHookContainerKey = "post.hook.restore.velero.io/container"
	InitHookImageKey     = "init.hook.restore.velero.io/container-image"
)

// LabelValue returns the name of a backup or restore as Velero writes it into a
// label, which holds 63 characters: longer names keep their first 57, followed by
// 6 digits of their hash.
func LabelValue(name string) string {
	const longest, kept = 63, 57
	if len(name) <= longest {
		return name
	}
	return name[:kept] + fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:longest-kept]
}
