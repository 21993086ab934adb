package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// FuzzFlags parses any arguments. The plugin has to start whatever they are.
func FuzzFlags(f *testing.F) {
	for _, seed := range []string{
		"--log-level\x00info", "--log-level\x00info\x00--features\x00EnableCSI", "--log-level=debug\x00--uploader-type=kopia",
		"--log-level", "--log-level=", "--log-level\x00--log-level\x00x", "-log-level=x=y", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, joined string) {
		args := strings.Split(joined, "\x00")
		got := ParseFlags(args)
		if got.LogLevel != "" && !strings.Contains(joined, got.LogLevel) {
			t.Errorf("the level %q is not among %q", got.LogLevel, args)
		}
		if got.Legacy && (args[0] != "--log-level" || len(args)%2 != 0) {
			t.Errorf("%q look like those of an old server", args)
		}
	})
}

// FuzzEnvironment starts with any environment of the handshake. It ends with an
// error or with a handshake of one line.
func FuzzEnvironment(f *testing.F) {
	f.Add("", "", "10m", "")
	f.Add("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "1", "-1s", "0")
	f.Add("x", "true", "9999999h", "nobody")
	f.Fuzz(func(t *testing.T, certificate, multiplex, limit, group string) {
		if strings.Contains(certificate+multiplex+limit+group, "\x00") {
			return // no environment holds it
		}
		t.Setenv("PLUGIN_CLIENT_CERT", certificate)
		t.Setenv("PLUGIN_MULTIPLEX_GRPC", multiplex)
		t.Setenv("OADP_PLUGIN_STALL_TIMEOUT", limit)
		t.Setenv("PLUGIN_UNIX_SOCKET_GROUP", group)
		if l := LimitsFromEnv(); l.Stall < 0 || l.Client != time.Minute {
			t.Errorf("limits %+v", l)
		}
		New(slog.New(slog.DiscardHandler), LimitsFromEnv())
		config, own, err := transportSecurity()
		if err != nil {
			return
		}
		if (config == nil) != (certificate == "") {
			t.Errorf("the certificate %q leads to %v", certificate, config)
		}
		var out bytes.Buffer
		if err := handshake(&out, "unix", "@a", own); err != nil {
			t.Fatal(err)
		}
		fields := strings.Split(out.String(), "|")
		if want := 6; len(fields) != want && (multiplex == "" || len(fields) != want+1) {
			t.Errorf("%d fields in %q", len(fields), out.String())
		}
		if strings.Count(out.String(), "\n") != 1 {
			t.Errorf("the handshake is %q", out.String())
		}
		if _, err := groupID(group); err == nil && group == "" {
			t.Error("no group is a group")
		}
	})
}
