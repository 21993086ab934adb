package host

import (
	"encoding/json"
	"fmt"
	"os"
)

// roleVariable makes a program that imports this package play another part than
// its own: some rows need a process between the suite and the plugin, and the
// suite starts its own executable once more for that. Nobody else sets it.
const roleVariable = "PLUGINTEST_ROLE"

// role is the part to play; one of its fields is set.
type role struct {
	Host *doomedHost
	Exec *readOnlyExec
}

func init() {
	encoded := os.Getenv(roleVariable)
	if encoded == "" {
		return
	}
	os.Unsetenv(roleVariable)
	var r role
	err := json.Unmarshal([]byte(encoded), &r)
	switch {
	case err != nil:
	case r.Host != nil:
		err = r.Host.run()
	case r.Exec != nil:
		err = r.Exec.run()
	}
	fmt.Fprintln(os.Stderr, "plugintest:", err)
	os.Exit(1)
}

func (r role) entry() (string, error) {
	encoded, err := json.Marshal(r)
	return roleVariable + "=" + string(encoded), err
}
