// Command host is a host of one plugin that tests kill and stop.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "host:", err)
		os.Exit(1)
	}
}

func run() error {
	var job host.Job
	if err := json.Unmarshal([]byte(os.Args[1]), &job); err != nil {
		return err
	}
	return job.Run()
}
