// Package host starts plugins as the Velero server does, with the client of
// hashicorp/go-plugin. Where that client would hide what a row looks at, such as the
// line of the handshake, it starts them without it.
package host

import (
	"os/exec"
	"syscall"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
)

// The handshake between the Velero server and its plugins.
const (
	cookieKey       = "VELERO_PLUGIN"
	cookieValue     = "hello"
	protocolVersion = 2
)

// Profile is a form of the arguments that Velero servers pass to plugins.
type Profile struct {
	Name string
	Args []string
}

// Profiles returns the forms in use, the newest first: servers up to 1.14 pass
// their log level, later ones a copy of all their flags.
func Profiles() []Profile {
	return []Profile{
		{"velero-1.15", []string{"--features=EnableCSI", "--uploader-type=kopia", "--unknown", "x"}},
		{"velero-1.14", []string{"--log-level", "info"}},
	}
}

// Launch says how to start a plugin.
type Launch struct {
	Path string   // also argv[0]
	Args []string // behind argv[0]
	Env  []string // without what the handshake needs

	Temp string // an existing folder for what the host itself writes

	ReadOnly *ReadOnly // start below a read-only root
}

// handshakeEnv is what go-plugin's client adds to the environment.
func handshakeEnv() []string {
	return []string{cookieKey + "=" + cookieValue, "PLUGIN_MIN_PORT=10000", "PLUGIN_MAX_PORT=25000", "PLUGIN_PROTOCOL_VERSIONS=2"}
}

func (l Launch) start(env []string) (*process.Process, error) {
	if l.ReadOnly != nil {
		return l.ReadOnly.start(l, env)
	}
	path, err := exec.LookPath(l.Path)
	if err != nil {
		return nil, err
	}
	return process.Start(process.Options{
		Path: path, Args: append([]string{l.Path}, l.Args...), Env: env,
		Attr: &syscall.SysProcAttr{Setpgid: true}, // so that Ctrl-C at the terminal interrupts the suite and not the plugin
	})
}
