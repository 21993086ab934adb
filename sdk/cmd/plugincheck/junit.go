package main

import (
	"encoding/xml"
	"fmt"
)

// The elements of JUnit that Jenkins and GitLab read.
type (
	testSuites struct {
		XMLName xml.Name  `xml:"testsuites"`
		Suite   testSuite `xml:"testsuite"`
	}
	testSuite struct {
		Name       string     `xml:"name,attr"`
		Tests      int        `xml:"tests,attr"`
		Failures   int        `xml:"failures,attr"`
		Skipped    int        `xml:"skipped,attr"`
		Time       float64    `xml:"time,attr"`
		Timestamp  string     `xml:"timestamp,attr"`
		Properties []property `xml:"properties>property"`
		Cases      []testCase `xml:"testcase"`
	}
	property struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	testCase struct {
		ClassName string   `xml:"classname,attr"`
		Name      string   `xml:"name,attr"`
		Time      float64  `xml:"time,attr"`
		Failure   *verdict `xml:"failure,omitempty"`
		Skipped   *verdict `xml:"skipped,omitempty"`
		Stderr    string   `xml:"system-err,omitempty"`
	}
	verdict struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// asJUnit returns the report as JUnit XML. A failed row that does not count is
// skipped there, so that a pipeline comes to the verdict of the exit code.
func (r *report) asJUnit() ([]byte, error) {
	suite := testSuite{Name: r.name(), Tests: len(r.Rows), Time: r.Seconds, Timestamp: r.Started}
	for _, row := range r.Rows {
		c := row.testCase(r.name())
		if c.Failure != nil {
			suite.Failures++
		}
		if c.Skipped != nil {
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
		for _, f := range row.Figures {
			suite.Properties = append(suite.Properties, property{row.ID + ": " + f.Name, number(f.Value) + " " + f.Unit})
		}
	}
	text, err := xml.MarshalIndent(testSuites{Suite: suite}, "", "  ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}

func (r row) testCase(plugin string) testCase {
	c := testCase{ClassName: plugin + "." + r.Group, Name: r.ID + ": " + r.Name, Time: r.Seconds, Stderr: r.Stderr}
	switch {
	case r.Status == failed && r.counts:
		c.Failure = &verdict{r.Found, r.Level, r.explanation()}
	case r.Status == failed:
		c.Skipped = &verdict{Message: "failed, but does not count: " + r.Found}
	case r.Status != passed:
		c.Skipped = &verdict{Message: r.Reason}
	}
	return c
}

func (r row) explanation() string {
	return fmt.Sprintf("required: %s\nfound: %s\nconsequence: %s\n", r.Contract, r.Found, r.Consequence)
}
