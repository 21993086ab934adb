package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// terminal shows rows as they end. Where it is one, it has colours and says
// which row is being checked.
type terminal struct {
	out   io.Writer
	isTTY bool
}

func newTerminal(out *os.File) *terminal {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	return &terminal{out: out, isTTY: err == nil && os.Getenv("TERM") != "dumb"}
}

// The colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	grey   = "90"
)

func (t *terminal) colour(code, text string) string {
	if !t.isTTY || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *terminal) head(r *report) {
	fmt.Fprintln(t.out, r.Plugin)
	for _, o := range r.Offers {
		fmt.Fprintf(t.out, "  %-19s %s\n", o.Kind, o.Name)
	}
	fmt.Fprintln(t.out)
}

// begin says which row is being checked.
func (t *terminal) begin(done, total int, row plugintest.Row) {
	if t.isTTY {
		t.clear()
		fmt.Fprint(t.out, t.colour(grey, fmt.Sprintf("%d/%d  %s: %s", done+1, total, row.ID, row.Name)))
	}
}

// clear takes back what begin has written.
func (t *terminal) clear() {
	if t.isTTY {
		fmt.Fprint(t.out, "\r\x1b[K")
	}
}

// The widths of the columns.
const (
	idWidth   = 26
	nameWidth = 36
)

func (t *terminal) row(r row) {
	t.clear()
	fmt.Fprintf(t.out, "%s  %-6s  %-*s  ", t.label(r.Status), r.Level, idWidth, r.ID)
	if r.Reason != "" {
		fmt.Fprintln(t.out, t.colour(grey, r.Reason))
		return
	}
	fmt.Fprintf(t.out, "%-*s  %6.2f s\n", nameWidth, r.Name, r.Seconds)
	if r.Status == failed {
		t.detail("required", r.Contract)
		t.detail("found", firstLines(r.Found, 8))
		t.detail("effect", r.Consequence)
		t.detail("stderr", lastLines(r.Stderr, 8))
	}
}

func (t *terminal) label(s status) string {
	switch s {
	case passed:
		return t.colour(green, "ok  ")
	case failed:
		return t.colour(red, "FAIL")
	case skipped:
		return t.colour(yellow, "skip")
	}
	return t.colour(grey, "n/a ")
}

// detail writes a text below a row. Control characters of the plugin do not
// reach the terminal.
func (t *terminal) detail(title, text string) {
	if text = strings.Map(printable, strings.TrimSpace(text)); text == "" {
		return
	}
	const indent = "                  "
	fmt.Fprintf(t.out, "      %s  %s\n", t.colour(grey, fmt.Sprintf("%-10s", title)), strings.ReplaceAll(text, "\n", "\n"+indent))
}

func printable(c rune) rune {
	if unicode.IsControl(c) && c != '\n' && c != '\t' {
		return unicode.ReplacementChar
	}
	return c
}

func firstLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if more := len(lines) - count; more > 0 {
		lines = append(lines[:count], fmt.Sprintf("... and %d lines, which the reports have", more))
	}
	return strings.Join(lines, "\n")
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

func (t *terminal) summary(r *report) {
	s := r.Summary
	verdict := t.colour(green, "all is well")
	if n := s.FailedMust + s.FailedShould; n > 0 {
		verdict = t.colour(red, fmt.Sprintf("%d failed", n)) + fmt.Sprintf(" (%d must, %d should)", s.FailedMust, s.FailedShould)
	}
	fmt.Fprintf(t.out, "\n%s: %d passed, %d skipped, %d not applicable, %.1f s\n", verdict, s.Passed, s.Skipped, s.NotApplicable, r.Seconds)
	var figures []string
	for _, h := range r.highlights() {
		figures = append(figures, fmt.Sprintf("%s %s %s", h.Title, number(h.Value), h.Unit))
	}
	if len(figures) > 0 {
		fmt.Fprintln(t.out, strings.Join(figures, "; "))
	}
}
