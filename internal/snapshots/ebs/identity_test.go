package ebs

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
)

// signer takes a snapshot and returns whose session it was.
func (s *scene) signer() string {
	s.t.Helper()
	s.mustSnapshot(s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1}))
	calls := s.Calls("CreateSnapshot")
	return calls[len(calls)-1].AccessKey
}

// Whoever is configured signs the requests, in the order of preference.
func TestIdentities(t *testing.T) {
	const sts = "[default]\nrole_arn = ROLE\nweb_identity_token_file = TOKEN\nsts_regional_endpoints = regional\nregion = " + region + "\n"
	for name, c := range map[string]struct {
		file   string // of credentials
		config []string
		env    map[string]string
		want   string // part of the access key
	}{
		"keys in a file":      {file: "[default]\nKEYS", want: "AKIAVELERO"},
		"profile of a file":   {file: "[default]\n\n[other]\nKEYS", config: []string{"profile", "other"}, want: "AKIAVELERO"},
		"token in a file":     {file: sts, config: []string{"enableSharedConfig", "true"}, want: "ASIAOADP"},
		"file with CR and LF": {file: strings.ReplaceAll(sts, "\n", "\r\n"), want: "ASIAOADP"},
		"role on a role": {
			file: "[default]\nrole_arn = CHAINED\nsource_profile = base\nexternal_id = x1\n[profile base]\nrole_arn = ROLE\nweb_identity_token_file = TOKEN\nrole_session_name = velero\n", want: "ASIACHAINED",
		},
		"role on keys": {
			file: "[default]\nrole_arn = CHAINED\nsource_profile = base\nexternal_id = x1\n[base]\nKEYS", want: "ASIACHAINED",
		},
		"file before the environment": {
			file: "[default]\nKEYS", env: map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ROLE_ARN": "ROLE", "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}, want: "AKIAVELERO",
		},
		"keys in the environment":          {env: map[string]string{"AWS_ACCESS_KEY_ID": "KEYID", "AWS_SECRET_ACCESS_KEY": "SECRET"}, want: "AKIAVELERO"},
		"web identity":                     {env: map[string]string{"AWS_ROLE_ARN": "ROLE", "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}, want: "ASIAOADP"},
		"empty default file, web identity": {env: map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "EMPTY", "AWS_ROLE_ARN": "ROLE", "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}, want: "ASIAOADP"},
		"pod identity":                     {env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "PODURL", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "TOKEN"}, want: "ASIAPOD"},
		"machine":                          {env: map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "MACHINEURL"}, want: "ASIANODE"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			token := tokenFile(t, "the token")
			s.Trust("the token", "velero")
			role := s.AddRole(awsfake.Role{Name: "oadp", Subject: "velero"})
			chained := s.AddRole(awsfake.Role{Name: "chained", ExternalID: "x1", Principals: []string{s.keys.ARN, "arn:aws:sts::" + awsfake.Account + ":assumed-role/oadp/velero"}})
			fill := strings.NewReplacer(
				"KEYS", "aws_access_key_id = "+s.keys.AccessKeyID+"\naws_secret_access_key = "+s.keys.SecretAccessKey+"\n",
				"KEYID", s.keys.AccessKeyID, "SECRET", s.keys.SecretAccessKey, "ROLE", role, "CHAINED", chained, "TOKEN", token, "EMPTY", testfile.Write(t, "[default]\n"),
				"PODURL", fakecloud.Serve(t, s.PodIdentity(awsfake.Role{Name: "pod"}, func() string { return "the token" }))+"/v1/credentials",
				"MACHINEURL", fakecloud.Serve(t, s.Machine(awsfake.Role{Name: "node"})),
			)
			for variable, value := range c.env {
				if value = fill.Replace(value); variable != "AWS_SECRET_ACCESS_KEY" || value != "x" {
					t.Setenv(variable, value)
				}
			}
			delete(s.config, "credentialsFile")
			if c.file != "" {
				s.config["credentialsFile"] = testfile.Write(t, fill.Replace(c.file))
			}
			environment := os.Environ()
			s.mustInit(c.config...)
			if got := s.signer(); !strings.HasPrefix(got, c.want) {
				t.Errorf("signed by %s, want %s", got, c.want)
			}
			if !slices.Equal(os.Environ(), environment) {
				t.Error("the environment changed")
			}
		})
	}
}

// Sessions are kept while they last, and renewed with the token as it is then.
func TestRenewal(t *testing.T) {
	for name, c := range map[string]struct {
		lasts    time.Duration
		sessions int
	}{"long": {time.Hour, 1}, "short": {2 * time.Second, 2}} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.Trust("first", "velero")
			role := s.AddRole(awsfake.Role{Name: "oadp", Subject: "velero", Duration: c.lasts})
			token := tokenFile(t, "first")
			s.mustInit("credentialsFile", testfile.Write(t, "[default]\nrole_arn = "+role+"\nweb_identity_token_file = "+token+"\n"))
			s.mustInit() // with the same configuration it asks nobody
			if n := len(s.Calls("AssumeRoleWithWebIdentity")); n != 1 {
				t.Errorf("%d sessions after Init", n)
			}
			s.Expire("first")
			s.Trust("second", "velero")
			if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second) // the life of the short session
			s.signer()
			if n := len(s.Calls("AssumeRoleWithWebIdentity")); n != c.sessions {
				t.Errorf("%d sessions, want %d", n, c.sessions)
			}
		})
	}
}

// What stands in the way of a role is named.
func TestRefusedRoles(t *testing.T) {
	s := newScene(t)
	s.Trust("trusted", "velero")
	s.Trust("other", "other")
	s.Trust("old", "velero")
	s.Expire("old")
	role := s.AddRole(awsfake.Role{Name: "oadp", Subject: "velero"})
	for name, c := range map[string]struct {
		role, token string
		is          func(error) bool
		says        string
	}{
		"trust policy":  {role, "other", is(awsaccess.CodeRoleRefused), "sts:AssumeRoleWithWebIdentity"},
		"absent role":   {role + "x", "trusted", is(awsaccess.CodeRoleRefused), "role/oadpx"},
		"expired token": {role, "old", is(awsaccess.CodeWebIdentity), "ExpiredTokenException"},
		"no token":      {role, "", func(err error) bool { return err != nil }, "/absent"},
	} {
		token := "/absent"
		t.Setenv(credpolicy.TokenFilesVariable, token)
		if c.token != "" {
			token = tokenFile(t, c.token)
		}
		s.config["credentialsFile"] = testfile.Write(t, "[default]\nrole_arn = "+c.role+"\nweb_identity_token_file = "+token+"\n")
		_, err := s.Init(t.Context(), sdk.InitInput{Config: s.config})
		if !c.is(err) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), s.config["credentialsFile"]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Two locations in one process have identities of their own.
func TestTwoIdentities(t *testing.T) {
	s := newScene(t)
	s.Trust("the token", "velero")
	t.Setenv("AWS_ROLE_ARN", s.AddRole(awsfake.Role{Name: "oadp", Subject: "velero"}))
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", testfile.Write(t, "the token"))
	other := New(slog.New(slog.DiscardHandler))
	if _, err := other.Init(t.Context(), sdk.InitInput{Config: map[string]string{"region": region, "ec2Url": s.config["ec2Url"]}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := s.signer(); !strings.HasPrefix(got, "AKIAVELERO") {
			t.Errorf("signed by %s", got)
		}
		if _, err := other.VolumeInfo(t.Context(), sdk.VolumeInfoInput{VolumeID: s.AddVolume(awsfake.Volume{Size: 1}), Zone: ""}); err != nil {
			t.Error(err)
		}
		calls := s.Calls("DescribeVolumes")
		if got := calls[len(calls)-1].AccessKey; !strings.HasPrefix(got, "ASIAOADP") {
			t.Errorf("signed by %s", got)
		}
	}
}

// tokenFile writes a token that locations may send to the token service.
func tokenFile(t *testing.T, token string) string {
	t.Helper()
	path := testfile.Write(t, token)
	t.Setenv(credpolicy.TokenFilesVariable, path)
	return path
}

// is returns a condition that holds for the errors with a code.
func is(code fault.Code) func(error) bool {
	return func(err error) bool { return errors.Is(err, code) }
}
