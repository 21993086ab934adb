package security

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// mustBeRefused offers a location and expects that the plugin refuses it with an
// error that names the reason.
func (a *attacker) mustBeRefused(location stack.Location, reason string) {
	a.t.Helper()
	ctx := newContext(a.t)
	phase, message := a.offer(ctx, location)
	if phase != "Unavailable" {
		a.t.Errorf("the location is %s, want Unavailable", phase)
	}
	if !strings.Contains(message, reason) {
		a.t.Errorf("the message does not name %s: %s", reason, message)
	}
	a.mustHideSecrets(a.t, "the message of the location", []byte(message))
}

// A location's secret cannot make Velero run a program.
func TestCredentialProcessDoesNotRun(t *testing.T) {
	a := newAttacker(t)
	proof := filepath.Join(t.TempDir(), "proof")
	location := a.location()
	location.Config["enableSharedConfig"] = "true"
	location.Credential = fmt.Appendf(nil, "[default]\ncredential_process = /bin/sh -c \"touch %s; echo '{}'\"\n", proof)
	a.mustBeRefused(location, "credential_process")
	if _, err := os.Stat(proof); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the command of the credentials file ran: %v", err)
	}
	a.mustHaveStayedInside()
}

// A location's secret cannot make Velero send a file of its pod to a server.
func TestTokenFileIsNotPosted(t *testing.T) {
	for name, text := range map[string]string{
		"services": "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = %s\nregion = minio\nservices = mine\n" +
			"[services mine]\nsts =\n  endpoint_url = %s\ns3 =\n  endpoint_url = %[2]s\n",
		"endpoint_url": "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = %s\nregion = minio\nendpoint_url = %s\n",
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttacker(t)
			location := a.location()
			location.Config["enableSharedConfig"] = "true"
			location.Credential = fmt.Appendf(nil, text, a.tokenFile, a.server.URL)
			a.mustBeRefused(location, "web_identity_token_file")
			a.mustHaveStayedInside()
		})
	}
}

// A location's secret cannot name files of Velero's pod, even if no server of the
// attacker's choice is asked.
func TestForeignTokenFileIsNotRead(t *testing.T) {
	a := newAttacker(t)
	location := a.location()
	location.Config["enableSharedConfig"] = "true"
	location.Credential = fmt.Appendf(nil, "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = %s\n", a.adminFile)
	a.mustBeRefused(location, "web_identity_token_file")
	a.mustHaveStayedInside()
}

// Each setting that only an administrator may use is refused by its name, also
// beside static keys that are valid.
func TestAdministratorsSettingsAreRefused(t *testing.T) {
	for _, setting := range credpolicy.AWS.Settings {
		t.Run(setting.Name, func(t *testing.T) {
			a := newAttacker(t)
			location := a.location()
			location.Config["enableSharedConfig"] = "true"
			location.Credential = fmt.Appendf(location.Credential, "role_arn = arn:aws:iam::123456789012:role/r\n%s = %s\n"+
				"[sso-session %[2]s]\nsso_region = minio\nsso_start_url = %[3]s\n", setting.Name, a.adminFile, a.server.URL)
			a.mustBeRefused(location, setting.Name)
			a.mustHaveStayedInside()
		})
	}
}

// A location with a credential of its own uses that one or none: the
// administrator's, which Velero's environment names, never takes its place.
func TestAdministratorsCredentialIsNotUsed(t *testing.T) {
	for name, change := range map[string]func(*attacker, *stack.Location){
		"empty secret": func(_ *attacker, l *stack.Location) { l.Credential = []byte("\n") },
		"half a key":   func(_ *attacker, l *stack.Location) { l.Credential = []byte("[default]\naws_access_key_id = x\n") },
		"another profile": func(_ *attacker, l *stack.Location) {
			l.Credential = []byte("[other]\naws_access_key_id = x\naws_secret_access_key = y\n")
		},
		"source_profile": func(_ *attacker, l *stack.Location) {
			l.Config["enableSharedConfig"] = "true"
			l.Credential = []byte("[default]\nrole_arn = arn:aws:iam::123456789012:role/r\ncredential_source = Environment\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttacker(t)
			location := a.location()
			change(a, &location)
			phase, message := a.offer(newContext(t), location)
			if phase != "Unavailable" {
				t.Errorf("the location is %s: %s", phase, message)
			}
			a.mustHaveStayedInside()
		})
	}
	// Velero puts the file of the location's own secret in the place of this key.
	t.Run("credentialsFile", func(t *testing.T) {
		a := newAttacker(t)
		location := a.location()
		location.Config["credentialsFile"] = a.adminFile
		a.offer(newContext(t), location)
		a.mustHaveStayedInside()
	})
}

// The keys of a location's configuration that name secrets and files cannot make
// the plugin send what is in somebody else's to the store of the location.
func TestCustomerKeyOfTheAdministratorIsNotSent(t *testing.T) {
	for key, value := range map[string]func(*attacker) string{
		"customerKeyEncryptionSecret": func(*attacker) string { return "customer-key/key" },
		"customerKeyEncryptionFile":   func(a *attacker) string { return filepath.Join(filepath.Dir(a.adminFile), "customer-key") },
	} {
		t.Run(key, func(t *testing.T) {
			a := newAttacker(t)
			must(t, os.WriteFile(filepath.Join(filepath.Dir(a.adminFile), "customer-key"), []byte(adminSSEKey), 0o600))
			location := a.location()
			location.Config[key] = value(a)
			ctx := newContext(t)
			if phase, _ := a.offer(ctx, location); phase == "Available" {
				// The key is sent with objects, not with lists.
				a.backup(ctx)
			}
			a.mustHaveStayedInside()
		})
	}
}

// An ordinary location works: the attacks fail for what they do, and not because
// nothing of a user's works. The recorders see the requests.
func TestOrdinaryLocationWorks(t *testing.T) {
	a := newAttacker(t)
	ctx := newContext(t)
	if phase, message := a.offer(ctx, a.location()); phase != "Available" {
		t.Fatalf("the location is %s: %s", phase, message)
	}
	must(t, a.push(ctx, a.namespace+"/app", a.image))
	a.api.Forget()
	a.pulls.take()
	if backup := a.backup(ctx); stack.Phase(backup) != "Completed" {
		t.Fatalf("the backup is %v", backup.Object["status"])
	}
	a.loseNamespace(ctx)
	if restore := a.restore(ctx); stack.Phase(restore) != "Completed" {
		t.Fatalf("the restore is %v", restore.Object["status"])
	}
	if len(a.api.Requests()) == 0 || len(a.s3.Requests()) == 0 {
		t.Error("the recorders have seen nothing")
	}
	a.mustHaveStayedInside()
}
