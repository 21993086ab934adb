package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the keys as an aligned table.
func (ks Keys) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tTYPE\tDEFAULT\tMEANING")
	for _, k := range ks {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", k.Name, k.Type, dash(k.Default), k.About)
	}
	return t.Flush()
}

// Markdown returns the keys as a Markdown table.
func (ks Keys) Markdown() string {
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range ks {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n",
			k.Name, cell(string(k.Type)), cell(dash(k.Default)), cell(k.About))
	}
	return b.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// cell escapes what would end a cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}
