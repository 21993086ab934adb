package stack

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// Program is a program, and no test, that works with the servers.
type Program struct {
	Name  string // before error lines: "demo: ..."
	Needs []tools.Tool
	// Timeout bounds the whole run, builds of the servers not included.
	Timeout time.Duration
	// Keep keeps the logs and data of the servers; after an error they are kept in
	// any case if KeepAfterError is set.
	Keep, KeepAfterError bool
}

// Run enters a namespace of the program's own, runs it until it ends or is
// interrupted, and stops the servers. After an error it ends the process.
func (p Program) Run(run func(context.Context, *Stack) error) {
	var servers Stack
	servers.Enter(Entry{Needs: p.Needs})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	err := run(ctx, &servers)
	kept := p.Keep || err != nil && p.KeepAfterError
	if kept {
		if keepErr := servers.Keep(); keepErr != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, keepErr)
		}
	}
	servers.Close()
	if err != nil && kept {
		fmt.Fprintf(os.Stderr, "\n%s: the logs are in %s\n", p.Name, servers.Dir())
	}
	p.Check(err)
}

// Check ends the process if there is an error.
func (p Program) Check(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		os.Exit(1)
	}
}
