package stack

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Harmless is an error line of the Velero server that tells of no fault.
type Harmless struct {
	// Message begins the line's message, Detail is in its error text.
	Message, Detail string
	// Unvalidated limits it to the time before the line's location was found
	// available for the first time.
	Unvalidated bool
	Why         string
}

// HarmlessErrors are the only error lines that PluginRuns accepts.
func HarmlessErrors() []Harmless {
	return []Harmless{{
		Message: "Current BackupStorageLocations available/unavailable/unknown: 0/0/",
		Why:     "none is unavailable; written from counts that are older than the validation just done",
	}, {
		Message:     "BackupStorageLocation is in unavailable state, skip syncing backup from it.",
		Unvalidated: true,
		Why:         "a location that is not validated yet counts as unavailable",
	}, {
		Message: "error encountered while scanning stdout",
		Detail:  "file already closed",
		Why:     "a race in the plugin client when a process ends",
	}, {
		Message: "restore not found",
		Why:     "a restore that was deleted with its backup while it was in a controller's queue",
	}, {
		Message: "Error getting a backup store",
		Detail:  `unable to get key for secret: Secret "` + credentialName(""),
		Why:     "the cache of secrets did not have the location's yet; see lookAtLocation",
	}, {
		Message: "No BackupStorageLocations found",
		Why:     "the last location was deleted",
	}}
}

// PluginRuns is what the server's log tells about plugin processes.
type PluginRuns struct {
	Started, Ended int
	// Faults are processes that did not end by themselves with status 0, and
	// all error lines but the harmless ones.
	Faults []string
}

// LogEnd is the present end of the server's log, for PluginRuns.
func (v *Velero) LogEnd() (int64, error) {
	info, err := os.Stat(v.LogPath)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// PluginRuns waits until every process that the server started from its plugin
// folder has ended, and tells what happened in the log from the given offset
// on. It fails when a process still runs at the end of ctx.
func (v *Velero) PluginRuns(ctx context.Context, from int64) (PluginRuns, error) {
	var log *pluginLog
	err := Await(ctx, func() (err error) {
		if log, err = v.readLog(from); err != nil {
			return err
		}
		processes, err := ProcessesUnder(v.PluginDir)
		if err != nil {
			return err
		}
		if len(log.running) > 0 || len(processes) > 0 {
			return fmt.Errorf("plugin processes run: %v according to the log, %v in fact", log.running, processes)
		}
		return nil
	})
	if err != nil {
		return PluginRuns{}, err
	}
	return log.runs, nil
}

func (v *Velero) readLog(from int64) (*pluginLog, error) {
	file, err := os.Open(v.LogPath)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	log := &pluginLog{dir: v.PluginDir, validated: map[string]bool{}}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for at := int64(0); lines.Scan(); at += int64(len(lines.Bytes())) + 1 {
		log.add(lines.Text())
		if at < from {
			log.runs = PluginRuns{}
		}
	}
	return log, lines.Err()
}

// pluginLog is the state of reading a server's log from its begin.
type pluginLog struct {
	dir       string // of the plugins
	runs      PluginRuns
	running   []string        // ids of processes that have not ended
	validated map[string]bool // locations that were available
}

// logLine has the fields of the server's log lines that matter here.
type logLine struct {
	Level   string `json:"level"`
	Message string `json:"msg"`
	// Velero itself writes an error to the second, plugins and their client may
	// write one to the first.
	Error        string `json:"error"`
	ErrorMessage string `json:"error.message"`
	// Path and PID tell of a start, Plugin and ID of an end. The process id is
	// a number in the one and a string in the other.
	Path   string      `json:"path"`
	PID    json.Number `json:"pid"`
	Plugin string      `json:"plugin"`
	ID     string      `json:"id"`
	// Validated and Synced are locations.
	Validated string `json:"backup-storage-location"`
	Synced    string `json:"backupLocation"`
}

// clientNotice is an information or a warning of the Kubernetes client, which
// has a log of its own in older releases of Velero.
var clientNotice = regexp.MustCompile(`^[IW]\d{4} \d\d:\d\d:\d\d\.`)

func (l *pluginLog) add(text string) {
	var line logLine
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		if !clientNotice.MatchString(text) {
			l.fault("not a log line: " + text)
		}
		return
	}
	if strings.HasPrefix(line.Message, "Starting Velero server") {
		l.running = nil // a server that was killed has not told of their end
	}
	switch line.Message {
	case "plugin started":
		if filepath.Dir(line.Path) == l.dir {
			l.runs.Started++
			l.running = append(l.running, line.PID.String())
		}
	case "plugin process exited":
		if filepath.Dir(line.Plugin) == l.dir {
			l.runs.Ended++
			l.running = slices.DeleteFunc(l.running, func(pid string) bool { return pid == line.ID })
			if line.Error+line.ErrorMessage != "" {
				l.fault(text)
			}
		}
	case "BackupStorageLocations is valid, marking as available":
		l.validated[line.Validated] = true
	}
	switch line.Level {
	case "error", "fatal", "panic":
		if !l.harmless(line) {
			l.fault(text)
		}
	}
}

func (l *pluginLog) fault(text string) { l.runs.Faults = append(l.runs.Faults, text) }

func (l *pluginLog) harmless(line logLine) bool {
	return slices.ContainsFunc(HarmlessErrors(), func(h Harmless) bool {
		return strings.HasPrefix(line.Message, h.Message) && strings.Contains(line.Error+line.ErrorMessage, h.Detail) &&
			!(h.Unvalidated && l.validated[line.Synced])
	})
}
