// App is the program in the pods of the test. Without arguments it runs until
// it is told to end; `app sum FILE INTO` is the hook: it writes down what is in
// a file at the time.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "sum" {
		if err := sum(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	<-told
}

func sum(file, into string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(into, fmt.Appendf(nil, "%x", sha256.Sum256(content)), 0o644)
}
