package awsaccess

import (
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// Codes are complete and each is listed once.
func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes {
		if !strings.HasPrefix(c.ID, "AWS_") || c.Meaning == "" || c.Fix == "" || seen[c.ID] {
			t.Errorf("code %+v", c)
		}
		seen[c.ID] = true
	}
	for name, c := range apiCodes {
		if !seen[c.ID] && c.ID != endpoint.CodeClock.ID {
			t.Errorf("%s is mapped to a code that is not listed: %s", name, c.ID)
		}
	}
}
