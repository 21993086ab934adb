// Package config reads the configuration maps of storage locations: it knows
// the keys, checks their values and prints the table of them.
package config

// Keys are the keys that one store understands, in the order in which they are
// documented.
type Keys []Key

// Key describes one configuration key.
type Key struct {
	Name    string
	Type    Type
	Default string // as documentation shows it
	About   string // one sentence
}

// Type says what values a key takes.
type Type string
