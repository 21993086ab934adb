// Velero-plugin-for-filesystem keeps backups in a directory, such as a mounted
// share.
package main

import "github.com/oadp-plugins/oadp-plugins/sdk"

var version = "dev" // -ldflags '-X main.version=v1.0.0'

func main() {
	p := sdk.New("velero-plugin-for-filesystem", version)
	p.ObjectStore("example.com/filesystem", newStore)
	p.BackupItemAction("example.com/stamp", func(sdk.Host) (sdk.BackupItemAction, error) { return stamp{}, nil })
	p.RestoreItemAction("example.com/stamp", func(sdk.Host) (sdk.RestoreItemAction, error) { return stamp{}, nil })
	p.Command("serve", "serve the objects that signed URLs name", serve)
	p.Main()
}
