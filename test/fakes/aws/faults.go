package awsfake

import (
	"net/http"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

// Answer refuses the request with an error of EC2.
func Answer(status int, code, message string) inject.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		writeEC2Error(w, &fakecloud.Refusal{Status: status, Code: code, Message: message})
	}
}

// Throttle asks to send less.
func Throttle() inject.Fault {
	return Answer(http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded.")
}
