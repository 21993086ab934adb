package host

import (
	"encoding/json"
	"fmt"
	"os"
)

// roleVariable says what a process does in place of the main function of its
// program. Some rows need a process between the suite and the plugin: for these the
// suite starts its own executable once more and sets this variable. Nobody else
// sets it.
const roleVariable = "PLUGINTEST_ROLE"

// role is what such a process does; one of its fields is set.
type role struct {
	Host *hostTask
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
