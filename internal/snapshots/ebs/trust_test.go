package ebs

import (
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
)

// A certificate is trusted by the location's caCert, by AWS_CA_BUNDLE, or when it
// is not to be verified.
func TestTrust(t *testing.T) {
	s := newScene(t)
	server := httptest.NewUnstartedServer(s.EC2())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of refused handshakes
	server.StartTLS()
	defer server.Close()
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1})
	s.mustInit("ec2Url", server.URL)
	describe := func() error {
		_, err := s.VolumeInfo(t.Context(), sdk.VolumeInfoInput{VolumeID: volume})
		return err
	}
	if err := describe(); !errors.Is(err, endpoint.CodeUntrusted) {
		t.Errorf("unknown authority: %v", err)
	}
	s.mustInit("insecureSkipTLSVerify", "true")
	if err := describe(); err != nil {
		t.Errorf("not verified: %v", err)
	}
	s.mustInit("insecureSkipTLSVerify", "", "caCert", authority)
	if err := describe(); err != nil {
		t.Errorf("with caCert: %v", err)
	}
	s.mustInit("caCert", "")
	t.Setenv("AWS_CA_BUNDLE", testfile.Write(t, authority))
	s.mustInit()
	if err := describe(); err != nil {
		t.Errorf("with AWS_CA_BUNDLE: %v", err)
	}
}
