package azurefake

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

// operation is one that goes on after the answer to its request.
type operation struct {
	made    made
	failure *fakecloud.Refusal
}

// SetOperationTime says how long it takes to make or remove a resource.
func (c *Cloud) SetOperationTime(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.duration = d
}

// FailOperation makes the next operation that is accepted end with an error.
func (c *Cloud) FailOperation(code, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, fakecloud.Refuse(http.StatusConflict, code, "%s", message))
}

// InProgress answers the question for an operation with "not yet", whatever has
// become of it.
func InProgress() inject.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "InProgress"})
	}
}

func (c *Cloud) nextFailure() *fakecloud.Refusal {
	if len(c.failures) == 0 {
		return nil
	}
	failure := c.failures[0]
	c.failures = c.failures[1:]
	return failure
}

// making is a making that begins now. c.mu is held.
func (c *Cloud) making() made {
	return made{began: c.Now(), ready: c.Now().Add(c.duration)}
}

// accept answers that an operation has begun. c.mu is held.
func (c *Cloud) accept(w http.ResponseWriter, r *http.Request, m made, failure *fakecloud.Refusal, body any) {
	id := uuid.NewString()
	c.operations[id] = &operation{m, failure}
	url := "https://" + r.Host + "/subscriptions/" + c.Subscription + "/providers/Microsoft.Compute/locations/" + Location +
		"/DiskOperations/" + id + "?api-version=" + computeVersion
	w.Header().Set("Azure-AsyncOperation", url)
	w.Header().Set("Location", url+"&monitor=true")
	writeJSON(w, http.StatusAccepted, body)
}

// operation tells how far an operation has got. c.mu is held.
func (c *Cloud) operation(w http.ResponseWriter, r *http.Request, id string) {
	o, ok := c.operations[id]
	if !ok {
		writeError(w, fakecloud.Refuse(http.StatusNotFound, "OperationNotFound", "The entity was not found."))
		return
	}
	switch {
	case c.Now().Before(o.made.ready):
		if r.URL.Query().Has("monitor") {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"status": "InProgress", "name": id})
	case o.failure != nil:
		writeJSON(w, http.StatusOK, map[string]any{
			"status": "Failed", "name": id, "error": map[string]string{"code": o.failure.Code, "message": o.failure.Message},
		})
	default:
		writeJSON(w, http.StatusOK, map[string]string{"status": "Succeeded", "name": id})
	}
}
