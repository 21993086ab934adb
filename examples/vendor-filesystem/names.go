package main

import (
	"net/url"
	"strings"
)

// An object is a file in its bucket's directory: backups/one/log.gz is the file
// backups:one:log.gz@. So a key may go on where another one ends, and no key
// leads out of the bucket or to an upload that is not complete.
const (
	whole   = "@"       // ends the names of objects
	goesOn  = "=/"      // between a directory and the rest of a longer name
	longest = 250       // bytes before these
	partial = "upload=" // begins the names of uploads
)

func fileName(key string) string {
	name := strings.ReplaceAll(url.QueryEscape(key), "%2F", ":")
	var directories string
	for ; len(name) > longest; name = name[longest:] {
		directories += name[:longest] + goesOn
	}
	return directories + name + whole
}

func keyOf(file string) (string, error) {
	return url.QueryUnescape(strings.NewReplacer(goesOn, "", ":", "/", whole, "").Replace(file))
}
