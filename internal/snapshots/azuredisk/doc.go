// Package azuredisk takes snapshots of Azure's managed disks and restores disks
// from them. The ids of snapshots are their ids in Azure Resource Manager, as the
// plugin replaced has always written them into backups:
//
//	/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/snapshots/NAME
package azuredisk
