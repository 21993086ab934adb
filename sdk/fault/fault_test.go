package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

var denied = fault.Code{ID: "DENIED", Meaning: "It is denied.", Fix: "ask for it"}

func TestErrorText(t *testing.T) {
	for want, e := range map[string]*fault.Error{
		"reading a: EOF; fix: ask for it [DENIED]": {Code: denied, What: "reading a", Err: io.EOF},
		"reading a; fix: ask again [DENIED]":       {Code: denied, What: "reading a", Fix: "ask again"},
		"reading a: EOF":                           {What: "reading a", Err: io.EOF},
		"EOF":                                      {Err: io.EOF},
		"":                                         {},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCodeIsFoundInWrappedAndJoinedErrors(t *testing.T) {
	other := &fault.Error{Code: fault.Code{ID: "OTHER"}}
	e := &fault.Error{Code: denied, Err: io.EOF}
	for _, err := range []error{
		e,
		fmt.Errorf("wrapped: %w", e),
		&fault.Error{Code: other.Code, Err: e},
		errors.Join(io.EOF, other, fmt.Errorf("deep: %w", errors.Join(other, e))),
	} {
		if !errors.Is(err, denied) {
			t.Errorf("not found in %v", err)
		}
	}
	for _, err := range []error{nil, io.EOF, other, errors.Join(other, io.EOF)} {
		if errors.Is(err, denied) {
			t.Errorf("found in %v", err)
		}
	}
	if !errors.Is(e, io.EOF) {
		t.Error("the cause is not reachable")
	}
}
