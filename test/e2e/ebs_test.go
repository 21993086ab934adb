package e2e

import (
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/e2e/cases"
)

func TestVolumesOnEBS(t *testing.T) { cases.VolumesOnEBS(t, &servers) }
