package tools

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// report shows the state of a build until the returned function is called:
// each second in place on a terminal, else a line every ten seconds.
func report(w io.Writer, name string, state func() string) (stop func()) {
	interval, format := 10*time.Second, "stack:   %s: %s, %s\n"
	terminal := isTerminal(w)
	if terminal {
		interval, format = time.Second, "\r\x1b[Kstack:   %s: %s, %s"
	}
	start := time.Now()
	line := func(what string) {
		fmt.Fprintf(w, format, name, what, time.Since(start).Round(time.Second))
	}
	finished := make(chan struct{})
	var reporter sync.WaitGroup
	reporter.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				line(state())
			case <-finished:
				line("ended")
				if terminal {
					fmt.Fprintln(w)
				}
				return
			}
		}
	})
	return func() {
		close(finished)
		reporter.Wait()
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
