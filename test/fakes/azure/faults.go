package azurefake

import (
	"net/http"
	"strconv"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

// Answer refuses the request with an error of Azure Resource Manager.
func Answer(status int, code, message string) inject.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		writeError(w, fakecloud.Refuse(status, code, "%s", message))
	}
}

// Throttle asks to send the request again after a pause, with all of Azure's
// headers for it: Retry-After takes whole seconds only.
func Throttle(pause time.Duration) inject.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Retry-After-Ms", strconv.FormatInt(pause.Milliseconds(), 10))
		w.Header().Set("Retry-After", strconv.FormatInt(int64((pause+time.Second-1)/time.Second), 10))
		writeError(w, fakecloud.Refuse(http.StatusTooManyRequests, "OperationNotAllowed", "The server rejected the request because too many requests have been received for this subscription."))
	}
}
