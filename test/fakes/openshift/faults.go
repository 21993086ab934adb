package openshift

import (
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
)

// Match chooses the requests that a fault befalls.
type Match func(*http.Request) bool

// Requests matches requests of a method, or of any if it is "", whose path has
// something that matches the pattern.
func Requests(method, pattern string) Match {
	path := regexp.MustCompile(pattern)
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && path.MatchString(r.URL.Path)
	}
}

// Fault befalls a request in place of or while the registry answers it.
type Fault func(r *Registry, w http.ResponseWriter, req *http.Request, answer http.HandlerFunc)

type injection struct {
	when  Match
	times int // left; negative: always
	fault Fault
}

// Always lets a fault befall every request that matches.
const Always = -1

// Inject lets a fault befall the next requests that match, as often as times
// says. Of several the first applies.
func (r *Registry) Inject(times int, when Match, fault Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &injection{when, times, fault})
}

// Heal ends all faults that are yet to come.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// nextFault returns the fault that befalls a request, or nil.
func (r *Registry) nextFault(req *http.Request) Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		if f.times != 0 && f.when(req) {
			f.times--
			return f.fault
		}
	}
	return nil
}

// Answer refuses the request.
func Answer(status int, code string) Fault {
	return func(_ *Registry, w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		(&refusal{status: status, code: code, message: strings.ToLower(code)}).write(w)
	}
}

// ResetRequest resets the connection after n bytes of the request's body.
func ResetRequest(n int64) Fault {
	return func(_ *Registry, w http.ResponseWriter, req *http.Request, _ http.HandlerFunc) {
		_, _ = io.CopyN(io.Discard, req.Body, n)
		reset(w)
	}
}

// ResetResponse resets the connection after n bytes of the response's body. With
// 0 the client gets no answer to what has been done.
func ResetResponse(n int64) Fault {
	return func(_ *Registry, w http.ResponseWriter, req *http.Request, answer http.HandlerFunc) {
		answer(&limited{ResponseWriter: w, left: n, end: func() { reset(w) }}, req)
	}
}

// Stall holds the response after n bytes of its body, until the client gives up
// or the registry is closed. With 0 there is no beginning of an answer either.
func Stall(n int64) Fault {
	return func(r *Registry, w http.ResponseWriter, req *http.Request, answer http.HandlerFunc) {
		answer(&limited{ResponseWriter: w, left: n, end: func() {
			select {
			case <-req.Context().Done():
			case <-r.ended:
			}
			panic(http.ErrAbortHandler)
		}}, req)
	}
}

// limited passes the first bytes of a response, and its header if there are any.
type limited struct {
	http.ResponseWriter
	left int64
	end  func() // does not return
}

func (l *limited) WriteHeader(status int) {
	if l.left == 0 {
		l.end()
	}
	l.ResponseWriter.WriteHeader(status)
}

func (l *limited) Write(b []byte) (int, error) {
	if int64(len(b)) < l.left {
		l.left -= int64(len(b))
		return l.ResponseWriter.Write(b)
	}
	_, _ = l.ResponseWriter.Write(b[:l.left])
	_ = http.NewResponseController(l.ResponseWriter).Flush()
	l.end()
	return 0, io.ErrClosedPipe
}

func (l *limited) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// reset closes the client's connection so that it sees a reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = secured.NetConn()
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
