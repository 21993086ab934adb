package main

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// sayGuest says, before the disks of a machine are saved, what the freeze hooks
// of its launcher will do. It does so once for an instance and backup: where item
// blocks are known, before the hooks run.
func (a *actions) sayGuest(ctx context.Context, b sdk.Backup, item *unstructured.Unstructured, l living) {
	if !l.exists {
		return
	}
	a.once(ctx, b, "guest/"+l.instance.uid, func() {
		level, text := guestState(l)
		slog.Log(ctx, level, text, "item", fields.Describe(item), "launcher", l.launcher.name, "phase", l.instance.phase,
			"agentConnected", l.instance.hasAgent, "paused", l.instance.paused, "migrating", l.instance.migrating)
	})
}

const optOut = "; to leave the guest alone, annotate the virtual machine kubevirt.io/skip-backup-hooks=true and restart it"

func guestState(l living) (slog.Level, string) {
	i := l.instance
	switch {
	case !i.isRunning:
		return slog.LevelInfo, "the virtual machine is not running yet or any more, so its guest is not frozen"
	case !l.hasLauncher:
		return slog.LevelWarn, "no pod of the running virtual machine was found, so its guest is not frozen"
	case !l.launcher.freezes:
		return slog.LevelInfo, "the pod of the virtual machine has no freeze hooks, so its disks are saved as after a power failure"
	case i.paused:
		return slog.LevelWarn, "the virtual machine is paused, so its guest cannot answer and the freeze hook will fail, which makes the backup PartiallyFailed; its disks are saved; unpause it before a backup" + optOut
	case i.migrating:
		return slog.LevelWarn, "the virtual machine is migrating, so the freeze hook may fail, which makes the backup PartiallyFailed; its disks are saved; repeat the backup after the migration"
	case !l.launcher.ready:
		return slog.LevelWarn, "the pod of the virtual machine is not ready, so the freeze hook may fail, which makes the backup PartiallyFailed; its disks are saved; repeat the backup when the machine is running"
	case !i.hasAgent:
		return slog.LevelInfo, "the guest has no agent that is connected, so it is not frozen and its disks are saved as after a power failure; install qemu-guest-agent in it"
	}
	return slog.LevelInfo, "the file systems of the guest are frozen while its disks are saved"
}
