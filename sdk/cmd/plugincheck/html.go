package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strconv"
)

//go:embed report.html
var page string

// asHTML returns the report as a page that needs nothing but itself.
func (r *report) asHTML() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"label":  label,
		"number": number,
	}).Parse(page)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, pageOf(r))
	return out.Bytes(), err
}

// htmlPage is what the template shows.
type htmlPage struct {
	*report
	Name       string
	Good       bool
	Verdict    string
	Failed     []row
	Groups     []group[row]
	Counts     []count
	Highlights []highlight
}

// count is how many rows are in a state.
type count struct {
	Status status
	Count  int
}

func pageOf(r *report) htmlPage {
	s := r.Summary
	failures := s.FailedMust + s.FailedShould
	p := htmlPage{
		report: r, Name: r.name(), Good: !r.failed(), Highlights: r.highlights(),
		Counts: []count{{failed, failures}, {passed, s.Passed}, {skipped, s.Skipped}, {notApplicable, s.NotApplicable}},
	}
	switch {
	case failures == 0:
		p.Verdict = "All requirements that apply are met"
	case p.Good:
		p.Verdict = fmt.Sprintf("%d requirements that should be met are not", failures)
	default:
		p.Verdict = fmt.Sprintf("%d of %d requirements are not met: %d must, %d should", failures, failures+s.Passed, s.FailedMust, s.FailedShould)
	}
	for _, row := range r.Rows {
		if row.Status == failed {
			p.Failed = append(p.Failed, row)
		}
	}
	p.Groups = grouped(r.Rows, func(r row) string { return r.Group })
	return p
}

// label is a state in words.
func label(s status) string {
	if s == notApplicable {
		return "not applicable"
	}
	return string(s)
}

// number has three significant digits, and all of those before the point.
func number(value float64) string {
	if value >= 100 {
		return strconv.FormatFloat(value, 'f', 0, 64)
	}
	return strconv.FormatFloat(value, 'g', 3, 64)
}
