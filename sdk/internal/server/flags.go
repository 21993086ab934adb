package server

import "strings"

// Flags are the server flags that a plugin heeds. Hosts pass on all flags of
// the Velero server, so every other argument is left alone.
type Flags struct {
	LogLevel string
	// Legacy says that the arguments look like those of Velero 1.14 or older:
	// the log level and perhaps features as separate words, and nothing else.
	Legacy bool
}

// ParseFlags reads the arguments behind the program's name. It never fails.
func ParseFlags(args []string) Flags {
	var f Flags
	f.Legacy = len(args) == 2 && args[0] == "--log-level" ||
		len(args) == 4 && args[0] == "--log-level" && args[2] == "--features"
	for i, arg := range args {
		name, value, joined := strings.Cut(arg, "=")
		if name != "--log-level" && name != "-log-level" {
			continue
		}
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		f.LogLevel = value
	}
	return f
}
