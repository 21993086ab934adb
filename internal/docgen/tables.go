package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// block is a marker line, what follows it, and the line that ends it. A marker
// in an indented example does not begin a line, so it is none.
var block = regexp.MustCompile(`(?ms)^(<!-- (?:config|rows): [^\n]* -->)\n(.*?)^<!-- end -->\n`)

// replaceTables puts the blocks of tables in place of those in text that have
// the same marker. Each marker stands once in both.
func replaceTables(text, tables []byte) ([]byte, error) {
	fresh := map[string][]byte{}
	for _, m := range block.FindAllSubmatch(tables, -1) {
		fresh[string(m[1])] = m[0]
	}
	var errs []error
	seen := map[string]bool{}
	text = block.ReplaceAllFunc(text, func(old []byte) []byte {
		marker, _, _ := bytes.Cut(old, []byte("\n"))
		table, ok := fresh[string(marker)]
		if !ok || seen[string(marker)] {
			errs = append(errs, fmt.Errorf("the program has no table, or no second one, for %s", marker))
			return old
		}
		seen[string(marker)] = true
		return table
	})
	for _, marker := range slices.Sorted(maps.Keys(fresh)) {
		if !seen[marker] {
			errs = append(errs, fmt.Errorf("there is no place for a table of the program; add the lines %s and <!-- end -->", marker))
		}
	}
	return text, errors.Join(errs...)
}
