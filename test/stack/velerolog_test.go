package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	started   = `{"level":"debug","msg":"plugin started","path":"/plugins/p","pid":7}`
	ended     = `{"level":"info","msg":"plugin process exited","plugin":"/plugins/p","id":"7"}`
	killed    = `{"level":"error","msg":"plugin process exited","plugin":"/plugins/p","id":"7","error.message":"signal: killed"}`
	builtIn   = `{"level":"debug","msg":"plugin started","path":"/bin/velero","pid":8}`
	failed    = `{"level":"error","msg":"Error uploading log file","error.message":"EOF"}`
	scanning  = `{"level":"error","msg":"error encountered while scanning stdout","error.message":"read |0: file already closed"}`
	noSync    = `{"level":"error","msg":"BackupStorageLocation is in unavailable state, skip syncing backup from it.","backupLocation":"velero/a"}`
	available = `{"level":"info","msg":"BackupStorageLocations is valid, marking as available","backup-storage-location":"velero/a"}`
	otherIsUp = `{"level":"info","msg":"BackupStorageLocations is valid, marking as available","backup-storage-location":"velero/b"}`

	serverStarted = `{"level":"info","msg":"Starting Velero server v1.18.3 (-)"}`

	clientWarning = `W1122 06:00:04.155449      72 reflector.go:462] watch of *v1.Secret ended with: context canceled`
)

func TestPluginLog(t *testing.T) {
	for _, c := range []struct {
		name    string
		lines   []string
		running int
		faults  int
	}{
		{"normal end", []string{started, builtIn, ended}, 0, 0},
		{"still running", []string{started, ended, started}, 1, 0},
		{"killed", []string{started, killed}, 0, 2}, // the process, and the line
		{"server killed", []string{started, serverStarted, started}, 1, 0},
		{"error line", []string{failed}, 0, 1},
		{"harmless error line", []string{scanning}, 0, 0},
		{"no log line", []string{"panic: oops"}, 0, 1},
		{"notice of the client", []string{clientWarning}, 0, 0},
		{"error of the client", []string{"E" + clientWarning[1:]}, 0, 1},
		{"not synced before validation", []string{noSync, otherIsUp, noSync}, 0, 0},
		{"not synced after validation", []string{available, noSync}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "velero.log")
			if err := os.WriteFile(path, []byte(strings.Join(c.lines, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			log, err := (&Velero{PluginDir: "/plugins", LogPath: path}).readLog(0)
			if err != nil {
				t.Fatal(err)
			}
			if len(log.running) != c.running || len(log.runs.Faults) != c.faults {
				t.Errorf("running %v, faults %q", log.running, log.runs.Faults)
			}
		})
	}
}

func TestPluginLogFromAnOffset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "velero.log")
	before := strings.Join([]string{available, failed, started, ""}, "\n")
	if err := os.WriteFile(path, []byte(before+ended+"\n"+noSync+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := (&Velero{PluginDir: "/plugins", LogPath: path}).readLog(int64(len(before)))
	if err != nil {
		t.Fatal(err)
	}
	if log.runs.Started != 0 || log.runs.Ended != 1 || len(log.running) != 0 {
		t.Errorf("runs %+v, running %v", log.runs, log.running)
	}
	// The earlier error does not count; that the location was available does.
	if len(log.runs.Faults) != 1 || log.runs.Faults[0] != noSync {
		t.Errorf("faults %q", log.runs.Faults)
	}
}
