package ebs

import (
	"errors"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
)

// walk runs the steps of a check and returns what they found and the name of the
// one that failed.
func (s *scene) walk() (found map[string]string, broken string, err error) {
	s.t.Helper()
	steps, err := s.Checks(s.t.Context(), sdk.ChecksInput{Config: s.config})
	if err != nil {
		return nil, "config", err
	}
	found = map[string]string{}
	for _, step := range steps {
		if found[step.Name], err = step.Run(s.t.Context()); err != nil {
			return found, step.Name, err
		}
	}
	return found, "", nil
}

func TestCheck(t *testing.T) {
	s := newScene(t)
	volume := s.AddVolume(awsfake.Volume{Zone: region + "b", Size: 1})
	s.AddVolume(awsfake.Volume{Zone: region + "b", Size: 1, Tags: map[string]string{"kubernetes.io/created-for/pv/name": "p"}})
	s.AddSnapshot(awsfake.Snapshot{VolumeID: volume, Size: 1, Tags: veleroTags})
	found, broken, err := s.walk()
	if err != nil {
		t.Fatalf("%s: %v", broken, err)
	}
	for step, want := range map[string]string{
		"credentials": "keys in file", "account": awsfake.Account, "region": region,
		"permissions": "ec2:CreateSnapshot with ec2:CreateTags, ec2:CreateVolume with ec2:CreateTags, ec2:DeleteSnapshot",
	} {
		if !strings.Contains(found[step], want) {
			t.Errorf("%s: %s", step, found[step])
		}
	}
	if strings.Contains(found["permissions"], "not known") {
		t.Error(found["permissions"])
	}
	if tried := s.Calls("CreateSnapshot")[0]; tried.Form["DryRun"] != "true" || tried.Form["VolumeId"] == volume {
		t.Errorf("tried on %v", tried.Form)
	}
	if s.Snapshots() != 1 || len(s.Calls("CreateVolume")) != 1 {
		t.Error("the check left something behind")
	}

	for action, step := range map[string]string{
		"ec2:DescribeVolumes": "region", "ec2:DescribeSnapshots": "region",
		"ec2:CreateSnapshot": "permissions", "ec2:CreateTags": "permissions", "ec2:CreateVolume": "permissions", "ec2:DeleteSnapshot": "permissions",
	} {
		s.Deny(action)
		if _, broken, err := s.walk(); broken != step || !errors.Is(err, CodeAccessDenied) || !strings.Contains(err.Error(), "allow "+action) {
			t.Errorf("%s: %s, %v", action, broken, err)
		}
		s.Allow(action)
	}
}

// An account without volumes shows less, and is no fault.
func TestCheckOfEmptyAccount(t *testing.T) {
	s := newScene(t)
	if found, broken, err := s.walk(); err != nil || !strings.Contains(found["permissions"], "not known") {
		t.Errorf("%v, %s, %v", found, broken, err)
	}
	s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
	if found, broken, err := s.walk(); err != nil || !strings.HasPrefix(found["permissions"], "ec2:CreateSnapshot") || !strings.Contains(found["permissions"], "not known") {
		t.Errorf("%v, %s, %v", found, broken, err)
	}
}

func TestBrokenSteps(t *testing.T) {
	s := newScene(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	wrong := s.keys
	wrong.SecretAccessKey = "x"
	right := s.config
	for _, c := range []struct{ key, value, step, says string }{
		{"ec2Url", "http://ec2.invalid", "DNS", "ec2.invalid"},
		{"ec2Url", "http://127.0.0.1:1", "TLS", "ec2Url"},
		{"ec2Url", strings.Replace(s.config["ec2Url"], "http", "https", 1), "TLS", "scheme"},
		{"credentialsFile", "/absent", "config", "/absent"},
		{"credentialsFile", credentialsFile(t, wrong), "account", "SignatureDoesNotMatch"},
		{"region", "us-east-1", "account", "SignatureDoesNotMatch"},
		{"region", "", "config", "missing region"},
	} {
		s.config = map[string]string{}
		for key, value := range right {
			s.config[key] = value
		}
		s.config[c.key] = c.value
		if _, broken, err := s.walk(); broken != c.step || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %s, %v", c.key, c.value, broken, err)
		}
	}
}

// STS need not be reachable for EC2 to be.
func TestCheckWithoutSTS(t *testing.T) {
	s := newScene(t)
	t.Setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
	if found, broken, err := s.walk(); err != nil || !strings.Contains(found["account"], "not known") {
		t.Errorf("%v, %s, %v", found, broken, err)
	}
}
