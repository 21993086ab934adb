package ebs

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
)

func TestSettings(t *testing.T) {
	awsfake.ClearEnvironment(t)
	t.Setenv("AWS_CLUSTER_NAME", "c1")
	s, err := parseSettings(map[string]string{
		"region": "r", "profile": "p", "credentialsFile": "/f", "enableSharedConfig": "true", "ebsKmsKeyId": "alias/k",
		"ec2Url": "https://ec2.example.com", "insecureSkipTLSVerify": "true", "volumeCreationTimeout": "1m", "volumeCreationPollInterval": "1s",
		"snapshotReadyTimeout": "2m", "azMapping": "a:b, c:d", "tags": "team=x&cost center=y z", "excludeTags": "Name, k8s.*",
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.region != "r" || s.access.Profile != "p" || s.access.CredentialsFile != "/f" || s.kmsKey != "alias/k" || s.cluster != "c1" ||
		s.endpoint != "https://ec2.example.com" || !slices.Equal(s.trust.Unverified, []string{"ec2.example.com"}) ||
		s.volumeCreationTimeout != time.Minute || s.volumeCreationPollInterval != time.Second || s.snapshotReadyTimeout != 2*time.Minute ||
		s.zone("c") != "d" || s.zone("x") != "x" || !maps.Equal(s.tags, map[string]string{"team": "x", "cost center": "y z"}) ||
		!s.excluded("k8s.io/x") || !s.excluded("Name") || s.excluded("Names") {
		t.Errorf("%+v", s)
	}
	s, err = parseSettings(map[string]string{"region": "r"})
	if err != nil || s.snapshotReadyTimeout != 10*time.Minute || s.volumeCreationTimeout != 5*time.Minute || s.volumeCreationPollInterval != 2*time.Second {
		t.Errorf("defaults: %+v, %v", s, err)
	}
}

func TestConfigErrors(t *testing.T) {
	awsfake.ClearEnvironment(t)
	for _, c := range []struct {
		config map[string]string
		want   string
	}{
		{nil, "missing region in aws configuration"},
		{map[string]string{"region": ""}, "missing region in aws configuration"},
		{map[string]string{"Region": "r"}, "config has invalid keys [Region]; valid keys are [azMapping "},
		{map[string]string{"bucket": "b", "prefix": "p", "region": "r"}, "config has invalid keys [bucket prefix]; valid keys are ["},
		{map[string]string{"region": "r", "tags": "a=b&c"}, "key=value"},
		{map[string]string{"region": "r", "tags": "a=b&a=c"}, `"a" twice`},
		{map[string]string{"region": "r", "tags": "aws:a=b"}, "reserved prefix aws:"},
		{map[string]string{"region": "r", "tags": strings.Repeat("k", 128) + "=v"}, "at most 127"},
		{map[string]string{"region": "r", "tags": "k=" + strings.Repeat("v", 257)}, "at most 256"},
		{map[string]string{"region": "r", "azMapping": "a"}, "azMapping"},
		{map[string]string{"region": "r", "azMapping": "a:b,c:"}, `expected a zone to restore into after "c:"`},
		{map[string]string{"region": "r", "ec2Url": "ec2.example.com"}, "ec2Url"},
		{map[string]string{"region": "r", "snapshotReadyTimeout": "10"}, "duration"},
		{map[string]string{"region": "r", "caCert": "x"}, "caCert holds no PEM certificate"},
	} {
		_, err := New(slog.New(slog.DiscardHandler)).Init(t.Context(), sdk.InitInput{Config: c.config})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.config, err)
		}
	}
}

// What the operator does not let into a location comes from the environment.
func TestVariables(t *testing.T) {
	awsfake.ClearEnvironment(t)
	for key, want := range map[string]string{
		"ec2Url": "OADP_AWS_VSL_EC2_URL", "ebsKmsKeyId": "OADP_AWS_VSL_EBS_KMS_KEY_ID", "azMapping": "OADP_AWS_VSL_AZ_MAPPING",
		"insecureSkipTLSVerify": "OADP_AWS_VSL_INSECURE_SKIP_TLS_VERIFY", "snapshotReadyTimeout": "OADP_AWS_VSL_SNAPSHOT_READY_TIMEOUT",
	} {
		if got := variable(key); got != want {
			t.Errorf("%s: %s", key, got)
		}
	}
	t.Setenv("OADP_AWS_VSL_AZ_MAPPING", "a:b")
	t.Setenv("OADP_AWS_VSL_VOLUME_CREATION_TIMEOUT", "7m")
	s, err := parseSettings(map[string]string{"region": "r", "volumeCreationTimeout": "1m"})
	if err != nil || s.zone("a") != "b" || s.volumeCreationTimeout != time.Minute {
		t.Errorf("%+v, %v", s, err)
	}
	allowed := map[string]bool{"credentialsFile": true, "profile": true, "region": true, "enableSharedConfig": true} // by the operator
	for _, key := range configKeys() {
		if (key.Env == "") != allowed[key.Name] {
			t.Errorf("%s has the variable %q", key.Name, key.Env)
		}
	}
}

// A change of the environment is a change of the configuration.
func TestVariableChanges(t *testing.T) {
	s := newScene(t)
	for _, tags := range []string{"team=a", "team=b"} {
		t.Setenv("OADP_AWS_VSL_TAGS", tags)
		s.mustInit()
		if e := s.Current.Load(); e.tags["team"] != strings.TrimPrefix(tags, "team=") {
			t.Errorf("%s: %v", tags, e.tags)
		}
	}
}

func FuzzSettings(f *testing.F) {
	f.Add("tags", "a=b&c=d")
	f.Add("azMapping", "a:b,c:d")
	f.Add("excludeTags", "*,a*")
	f.Fuzz(func(t *testing.T, key, value string) {
		s, err := parseSettings(map[string]string{"region": "r", key: value})
		if err != nil {
			if !errors.Is(err, config.InvalidValue) && !errors.Is(err, config.UnknownKey) && !errors.Is(err, config.MissingKey) {
				t.Errorf("error without a code: %v", err)
			}
			return
		}
		s.excluded(value)
		s.zone(value)
	})
}
