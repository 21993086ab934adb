package velero_test

import (
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"
)

// Names that are longer than a label may be are told apart by a hash.
func TestLabelValue(t *testing.T) {
	a, b := velero.LabelValue(strings.Repeat("x", 64)), velero.LabelValue(strings.Repeat("x", 65))
	if len(a) != 63 || a == b || !strings.HasPrefix(a, strings.Repeat("x", 57)) {
		t.Errorf("%s and %s", a, b)
	}
	if short := strings.Repeat("x", 63); velero.LabelValue(short) != short {
		t.Errorf("%s", velero.LabelValue(short))
	}
}
