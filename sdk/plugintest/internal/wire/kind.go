// Package wire calls a plugin as the Velero server does: the same services,
// messages and sizes.
package wire

// Kind is a kind of plugin as the lister names it.
type Kind string

const (
	ObjectStore         Kind = "ObjectStore"
	VolumeSnapshotter   Kind = "VolumeSnapshotter"
	BackupItemAction    Kind = "BackupItemAction"
	BackupItemActionV2  Kind = "BackupItemActionV2"
	RestoreItemAction   Kind = "RestoreItemAction"
	RestoreItemActionV2 Kind = "RestoreItemActionV2"
	DeleteItemAction    Kind = "DeleteItemAction"
	ItemBlockAction     Kind = "ItemBlockAction"
)

// Service returns the gRPC service of a kind, or "" when no supported Velero
// server knows the kind.
func (k Kind) Service() string {
	switch k {
	case ObjectStore, VolumeSnapshotter, BackupItemAction, RestoreItemAction, DeleteItemAction:
		return "generated." + string(k)
	case BackupItemActionV2:
		return "v2.BackupItemAction"
	case RestoreItemActionV2:
		return "v2.RestoreItemAction"
	case ItemBlockAction:
		return "v1.ItemBlockAction"
	}
	return ""
}

// Action reports whether plugins of this kind act on items.
func (k Kind) Action() bool {
	return k.Service() != "" && k != ObjectStore && k != VolumeSnapshotter
}

// Asynchronous reports whether the kind has operations that go on.
func (k Kind) Asynchronous() bool {
	return k == BackupItemActionV2 || k == RestoreItemActionV2
}

// Version1 returns the first version of a kind that has two.
func (k Kind) Version1() Kind {
	switch k {
	case BackupItemActionV2:
		return BackupItemAction
	case RestoreItemActionV2:
		return RestoreItemAction
	}
	return k
}

func (k Kind) method(name string) string { return "/" + k.Service() + "/" + name }
