package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// sample is a report with a row in each state. Its texts are such that they
// have to be escaped.
func sample(t *testing.T) *report {
	t.Helper()
	r := newReport(options{plugin: "bin/velero-plugin-for-<tests>", level: plugintest.Must},
		[]plugintest.Offer{{Kind: "ObjectStore", Name: "example.io/fs"}})
	r.Started, r.Platform, r.Seconds = "2024-05-01T12:00:00Z", "linux/amd64", 2.5
	results := []plugintest.Result{
		{Status: plugintest.Passed, Took: 1500 * time.Millisecond, Figures: []plugintest.Figure{{Name: "put", Value: 1234.5, Unit: "MiB/s"}}},
		{Status: plugintest.Failed, Err: errors.New("<script>alert('found')</script> & ]]> \x1b[31m"), Stderr: "</pre><script>alert('stderr')</script>\x00\n"},
		{Status: plugintest.Failed, Err: errors.New("a should")},
		{Status: plugintest.Skipped, Reason: "the <reason>"},
		{Status: plugintest.NotApplicable, Reason: "nothing to do"},
	}
	rows := []plugintest.Row{
		{ID: "store.first", Level: plugintest.Must}, {ID: "store.second", Level: plugintest.Must},
		{ID: "log.third", Level: plugintest.Should}, {ID: "store.fourth", Level: plugintest.Must}, {ID: "log.fifth", Level: plugintest.Should},
	}
	for i, result := range results {
		result.Row = rows[i]
		result.Row.Name, result.Row.Contract, result.Row.Consequence = "name of "+rows[i].ID, "what is required", "what it does"
		r.add(result)
	}
	return r
}

// TestJSON compares with a report of the documented form: a change of it breaks
// what others have built on it.
func TestJSON(t *testing.T) {
	r := sample(t)
	got, err := r.asJSON()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", got)
	var again report
	if err := json.Unmarshal(got, &again); err != nil {
		t.Fatal(err)
	}
	text, err := again.asJSON()
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("read and written again it differs: %v\n%s", err, text)
	}
}

func TestJUnit(t *testing.T) {
	got, err := sample(t).asJUnit()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.xml", got)
	checkJUnit(t, got, 5, 1)
}

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	want, err := os.ReadFile("testdata/" + name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v; %s should be\n%s", err, name, got)
	}
}

// junitSchema has the elements that JUnit's readers know, with their attributes
// and what may be in them.
var junitSchema = map[string]struct{ attributes, children []string }{
	"testsuites": {nil, []string{"testsuite"}},
	"testsuite":  {[]string{"name", "tests", "failures", "skipped", "time", "timestamp"}, []string{"properties", "testcase"}},
	"properties": {nil, []string{"property"}},
	"property":   {[]string{"name", "value"}, nil},
	"testcase":   {[]string{"classname", "name", "time"}, []string{"skipped", "failure", "system-err"}},
	"failure":    {[]string{"message", "type"}, nil},
	"skipped":    {[]string{"message"}, nil},
	"system-err": {nil, nil},
}

func checkJUnit(t *testing.T, text []byte, tests, failures int) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(text))
	var open []string
	counted := map[string]int{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			counted[name]++
			schema, known := junitSchema[name]
			if !known || len(open) > 0 && !slices.Contains(junitSchema[open[len(open)-1]].children, name) {
				t.Errorf("the element %s in %v", name, open)
			}
			for _, a := range token.Attr {
				if !slices.Contains(schema.attributes, a.Name.Local) {
					t.Errorf("the attribute %s of %s", a.Name.Local, name)
				}
				if name == "testsuite" {
					checkCount(t, a, map[string]int{"tests": tests, "failures": failures})
				}
			}
			open = append(open, name)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
	if counted["testcase"] != tests || counted["failure"] != failures {
		t.Errorf("%d cases and %d failures in\n%s", counted["testcase"], counted["failure"], text)
	}
}

func checkCount(t *testing.T, a xml.Attr, want map[string]int) {
	t.Helper()
	if n, ok := want[a.Name.Local]; ok && a.Value != strconv.Itoa(n) {
		t.Errorf("%s is %s, want %d", a.Name.Local, a.Value, n)
	}
}

func TestHTML(t *testing.T) {
	r := sample(t)
	page, err := r.asHTML()
	if err != nil {
		t.Fatal(err)
	}
	checkHTML(t, page, r)
	if strings.Count(string(page), "<script") != 1 {
		t.Error("a text of the plugin has become a script")
	}
	for _, want := range []string{"&lt;script&gt;alert(&#39;found&#39;)", "&lt;script&gt;alert(&#39;stderr&#39;)", "the &lt;reason&gt;", "put: 1234 MiB/s", "2 of 3 requirements are not met: 1 must, 1 should"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is not in the page", want)
		}
	}
}

// checkHTML looks for all rows in a page, for ids that are not unique, for links
// that lead nowhere and for anything that a browser would load.
func checkHTML(t *testing.T, page []byte, r *report) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids, links, states := map[string]int{}, []string{}, []string{}
	for node := range root.Descendants() {
		for _, a := range node.Attr {
			switch {
			case a.Key == "id":
				ids[a.Val]++
			case a.Key == "href" && strings.HasPrefix(a.Val, "#"):
				links = append(links, a.Val[1:])
			case a.Key == "href", a.Key == "src", a.Key == "srcset":
				t.Errorf("%s loads %s", node.Data, a.Val)
			case node.Data == "tr" && a.Key == "data-state":
				states = append(states, a.Val)
			}
		}
	}
	if bytes.Contains(page, []byte("url(")) || bytes.Contains(page, []byte("@import")) {
		t.Error("a style loads something")
	}
	for id, count := range ids {
		if count > 1 {
			t.Errorf("%d elements have the id %s", count, id)
		}
	}
	for _, link := range links {
		if ids[link] == 0 {
			t.Errorf("the link to %s leads nowhere", link)
		}
	}
	var want []string
	for _, row := range r.Rows {
		want = append(want, string(row.Status))
	}
	slices.Sort(want)
	slices.Sort(states)
	if !reflect.DeepEqual(states, want) {
		t.Errorf("the table has the states %v, want %v", states, want)
	}
}

// TestTerminal shows what a terminal sees while a row is checked and when it has
// ended.
func TestTerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	r := sample(t)
	for _, c := range []struct {
		isTTY bool
		want  string
	}{
		{false, "ok    must    store.first                 name of store.first                     1.50 s\n"},
		{true, "\r\x1b[K\x1b[90m1/5  store.first: name of store.first\x1b[0m\r\x1b[K\x1b[32mok  \x1b[0m  must    store.first                 name of store.first                     1.50 s\n"},
	} {
		var out bytes.Buffer
		terminal := &terminal{out: &out, isTTY: c.isTTY}
		terminal.begin(0, 5, plugintest.Row{ID: "store.first", Name: "name of store.first"})
		terminal.row(r.Rows[0])
		if out.String() != c.want {
			t.Errorf("%q, want %q", out.String(), c.want)
		}
	}
}

func TestTerminalShowsNoControlCharacters(t *testing.T) {
	r := sample(t)
	var out bytes.Buffer
	terminal := &terminal{out: &out}
	terminal.row(r.Rows[1])
	if strings.ContainsAny(out.String(), "\x1b\x00") || !strings.Contains(out.String(), "alert('stderr')") {
		t.Errorf("%q", out.String())
	}
}

func TestNumbers(t *testing.T) {
	for want, value := range map[string]float64{"0": 0, "0.000403": 0.0004033, "1.25": 1.2499, "98.8": 98.76, "1235": 1234.6} {
		if got := number(value); got != want {
			t.Errorf("%v is %s, want %s", value, got, want)
		}
	}
}
