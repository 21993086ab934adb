package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// schemaVersion changes when a field of the JSON report gets another meaning or
// goes away. New fields do not change it.
const schemaVersion = 1

// report is the result of a run, as the JSON report has it.
type report struct {
	SchemaVersion int     `json:"schemaVersion"`
	Plugin        string  `json:"plugin"` // as it was named
	Offers        []offer `json:"offers"`
	Platform      string  `json:"platform"`
	Started       string  `json:"started"` // RFC 3339, UTC
	Seconds       float64 `json:"seconds"`
	Level         string  `json:"level"` // what counts as failed: must, or should as well
	Summary       summary `json:"summary"`
	Rows          []row   `json:"rows"`

	level plugintest.Level
}

type offer struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

type summary struct {
	Passed        int `json:"passed"`
	FailedMust    int `json:"failedMust"`
	FailedShould  int `json:"failedShould"`
	Skipped       int `json:"skipped"`
	NotApplicable int `json:"notApplicable"`
}

// row is what became of one requirement.
type row struct {
	ID          string   `json:"id"`
	Group       string   `json:"group"`
	Name        string   `json:"name"`
	Level       string   `json:"level"`
	Contract    string   `json:"contract"`    // what is required
	Consequence string   `json:"consequence"` // what a failure does to backups and restores
	Status      status   `json:"status"`
	Reason      string   `json:"reason,omitempty"` // why it was not checked
	Found       string   `json:"found,omitempty"`  // what came instead
	Stderr      string   `json:"stderr,omitempty"` // the end of what the plugin wrote, if it failed
	Seconds     float64  `json:"seconds"`
	Figures     []figure `json:"figures,omitempty"`

	counts bool // for the verdict, if it failed
}

// status is what became of a row.
type status string

const (
	passed        status = "passed"
	failed        status = "failed"
	skipped       status = "skipped"
	notApplicable status = "notApplicable"
)

type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

func newReport(o options, offers []plugintest.Offer) *report {
	r := &report{
		SchemaVersion: schemaVersion,
		Plugin:        o.plugin,
		Platform:      runtime.GOOS + "/" + runtime.GOARCH,
		Started:       time.Now().UTC().Format(time.RFC3339),
		Level:         o.level.String(),
		level:         o.level,
	}
	for _, o := range offers {
		r.Offers = append(r.Offers, offer(o))
	}
	return r
}

// seconds rounds to milliseconds.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// add takes a result into the report.
func (r *report) add(result plugintest.Result) row {
	checked := row{
		ID:          result.Row.ID,
		Group:       result.Row.Group(),
		Name:        result.Row.Name,
		Level:       result.Row.Level.String(),
		Contract:    result.Row.Contract,
		Consequence: result.Row.Consequence,
		Reason:      result.Reason,
		Stderr:      result.Stderr,
		Seconds:     seconds(result.Took),
		counts:      result.Row.Level <= r.level,
	}
	for _, f := range result.Figures {
		checked.Figures = append(checked.Figures, figure(f))
	}
	switch result.Status {
	case plugintest.Passed:
		checked.Status = passed
		r.Summary.Passed++
	case plugintest.Skipped:
		checked.Status = skipped
		r.Summary.Skipped++
	case plugintest.NotApplicable:
		checked.Status = notApplicable
		r.Summary.NotApplicable++
	default:
		checked.Status, checked.Found = failed, fmt.Sprint(result.Err)
		if result.Row.Level == plugintest.Must {
			r.Summary.FailedMust++
		} else {
			r.Summary.FailedShould++
		}
	}
	r.Rows = append(r.Rows, checked)
	return checked
}

// failed reports whether a row that counts has failed.
func (r *report) failed() bool {
	for _, row := range r.Rows {
		if row.Status == failed && row.counts {
			return true
		}
	}
	return false
}

// highlight is a figure that says much about a plugin.
type highlight struct {
	Title string
	figure
}

// highlights returns those figures that the rows have measured.
func (r *report) highlights() []highlight {
	var found []highlight
	for _, wanted := range []struct{ row, figure, title string }{
		{"start.handshake", "exec to handshake, velero-1.15", "start"},
		{"start.handshake", "resident memory", "memory when idle"},
		{"store.large-object", "put", "upload"},
		{"store.large-object", "get", "download"},
		{"store.large-object", "peak memory", "peak memory"},
		{"end.cycles", "start and stop", "start and stop"},
	} {
		if f, ok := r.figure(wanted.row, wanted.figure); ok {
			found = append(found, highlight{wanted.title, f})
		}
	}
	return found
}

func (r *report) figure(id, name string) (figure, bool) {
	for _, row := range r.Rows {
		for _, f := range row.Figures {
			if row.ID == id && f.Name == name {
				return f, true
			}
		}
	}
	return figure{}, false
}

// write writes the files that the options name.
func (r *report) write(o options) error {
	var errs []error
	for _, form := range []struct {
		file   string
		encode func() ([]byte, error)
	}{
		{o.json, r.asJSON}, {o.junit, r.asJUnit}, {o.html, r.asHTML},
	} {
		if form.file == "" {
			continue
		}
		content, err := form.encode()
		if err == nil {
			err = os.WriteFile(form.file, content, 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (r *report) asJSON() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(r)
	return out.Bytes(), err
}

// name is the plugin's file name.
func (r *report) name() string { return filepath.Base(r.Plugin) }
