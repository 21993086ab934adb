package azurefake

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// Fault befalls a request in place of, before or after what the service does.
type Fault func(w http.ResponseWriter, r *http.Request, service http.Handler)

type injection struct {
	when  func(Call) bool
	times int // left; negative: always
	fault Fault
}

// Always lets a fault befall every call that matches.
const Always = -1

// Inject lets a fault befall the next calls that match, as often as times says.
// Of several the first applies.
func (c *Cloud) Inject(times int, when func(Call) bool, fault Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &injection{when, times, fault})
}

// Answer refuses the request with an error of Azure Resource Manager.
func Answer(status int, code, message string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		writeError(w, refuse(status, code, "%s", message))
	}
}

// Throttle asks to send the request again after a pause, with all of Azure's
// headers for it: Retry-After takes whole seconds only.
func Throttle(pause time.Duration) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Retry-After-Ms", strconv.FormatInt(pause.Milliseconds(), 10))
		w.Header().Set("Retry-After", strconv.FormatInt(int64((pause+time.Second-1)/time.Second), 10))
		writeError(w, refuse(http.StatusTooManyRequests, "OperationNotAllowed", "The server rejected the request because too many requests have been received for this subscription."))
	}
}

// Commit does what is asked for and breaks the connection, so that the client
// does not learn of it.
func Commit() Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		service.ServeHTTP(httptest.NewRecorder(), r)
		reset(w)
	}
}

// Drop breaks the connection without doing anything.
func Drop() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { reset(w) }
}

// Before runs something before the request is served.
func Before(do func()) Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		do()
		service.ServeHTTP(w, r)
	}
}

// reset closes the client's connection so that it sees a reset.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
