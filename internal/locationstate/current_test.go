package locationstate

import (
	"errors"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// The state is replaced when something has changed, and stays after an error.
func TestUpdate(t *testing.T) {
	var c Current[string]
	if c.Load() != nil {
		t.Error("a state before Init")
	}
	connected := 0
	update := func(value string, config map[string]string, prepareErr, connectErr error) error {
		return c.Update(func() (Fingerprint, error) { return FingerprintOf(config), prepareErr }, func(previous *string) (*string, error) {
			if previous != c.Load() {
				t.Errorf("previous state %v", previous)
			}
			connected++
			return &value, connectErr
		})
	}
	broken := errors.New("broken")
	for _, step := range []struct {
		value               string
		config              map[string]string
		prepareErr, connErr error
		want                string
		connected           int
	}{
		{"a", map[string]string{"k": "1"}, nil, nil, "a", 1},
		{"b", map[string]string{"k": "1"}, nil, nil, "a", 1},
		{"c", map[string]string{"k": "2"}, broken, nil, "a", 1},
		{"d", map[string]string{"k": "2"}, nil, broken, "a", 2},
		{"e", map[string]string{"k": "2"}, nil, nil, "e", 3},
		{"f", map[string]string{"k": "1"}, nil, nil, "f", 4},
	} {
		err := update(step.value, step.config, step.prepareErr, step.connErr)
		if (err != nil) != (step.prepareErr != nil || step.connErr != nil) || *c.Load() != step.want || connected != step.connected {
			t.Errorf("%s: %v, state %s, connected %d times", step.value, err, *c.Load(), connected)
		}
	}
}

// What differs in any part has another fingerprint.
func TestFingerprint(t *testing.T) {
	seen := map[Fingerprint]int{}
	for i, f := range []Fingerprint{
		FingerprintOf(nil),
		FingerprintOf(map[string]string{"a": ""}),
		FingerprintOf(map[string]string{"a": "b"}),
		FingerprintOf(map[string]string{"ab": ""}),
		FingerprintOf(map[string]string{"a": "b", "c": "d"}),
		FingerprintOf(map[string]string{"a": "b"}, []byte("c"), []byte("d")),
		FingerprintOf(map[string]string{"a": "b"}, []byte("cd"), nil),
		FingerprintOf(map[string]string{"a": "b"}, []byte("cd")),
	} {
		if other, ok := seen[f]; ok {
			t.Errorf("%d and %d are the same", i, other)
		}
		seen[f] = i
	}
	if FingerprintOf(map[string]string{"a": "b", "c": "d"}) != FingerprintOf(map[string]string{"c": "d", "a": "b"}) {
		t.Error("the order of keys counts")
	}
}

// A call before the first Init gets an error that says so.
func TestNeed(t *testing.T) {
	code := fault.Code{ID: "TEST_NOT_INITIALIZED", Fix: "look in the log"}
	var c Current[string]
	if _, err := c.Need("the store", code); !errors.Is(err, code) || !strings.Contains(err.Error(), "the store was used before its configuration") {
		t.Error(err)
	}
	c.Store(new("state"))
	if value, err := c.Need("the store", code); err != nil || *value != "state" {
		t.Error(value, err)
	}
}
