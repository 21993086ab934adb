package config

import (
	"fmt"
	"io"
	"strings"
)

// WriteText writes the keys for a terminal: two lines each, the second of which
// is the meaning.
func (ks Keys) WriteText(w io.Writer) error {
	width := 0
	for _, k := range ks {
		width = max(width, len(k.Name))
	}
	for _, k := range ks {
		form := string(k.Type)
		switch {
		case k.Injected, k.required != "":
			form += ", " + k.Default
		case k.Default != "":
			form += ", default " + k.Default
		}
		if _, err := fmt.Fprintf(w, "  %-*s  %s\n  %-*s  %s\n", width, k.Name, form, width, "", k.about("")); err != nil {
			return err
		}
	}
	return nil
}

// Markdown returns the keys as a Markdown table.
func (ks Keys) Markdown() string {
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range ks {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n",
			k.Name, cell(string(k.Type)), cell(dash(k.Default)), cell(k.about("`")))
	}
	return b.String()
}

// about returns the meaning, with the variable that also sets the key.
func (k Key) about(quote string) string {
	if k.Env == "" {
		return k.About
	}
	return k.About + "; or the variable " + quote + k.Env + quote
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
