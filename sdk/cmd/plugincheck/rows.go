package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// printRows prints rows with what they require.
func printRows(out io.Writer, rows []plugintest.Row) {
	for _, g := range grouped(rows, plugintest.Row.Group) {
		fmt.Fprintf(out, "%s\n", g.Name)
		for _, row := range g.Rows {
			fmt.Fprintf(out, "  %-6s  %-*s  %s\n", row.Level, idWidth, row.ID, row.Contract)
		}
		fmt.Fprintln(out)
	}
}

// printTables prints rows as Markdown, between the markers that documentation
// has around them.
func printTables(out io.Writer, rows []plugintest.Row) {
	fmt.Fprintln(out, "<!-- rows: plugincheck -->")
	for _, g := range grouped(rows, plugintest.Row.Group) {
		fmt.Fprintf(out, "\n### %s\n\n| id | level | required | effect of a failure |\n|---|---|---|---|\n", g.Name)
		for _, row := range g.Rows {
			fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", row.ID, row.Level, cell(row.Contract), cell(row.Consequence))
		}
	}
	fmt.Fprintln(out, "\n<!-- end -->")
}

// cell escapes what would end a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
