package s3proxy

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
)

// Match chooses the requests that a fault befalls.
type Match func(Request) bool

// Operations matches requests of the named operations.
func Operations(names ...string) Match {
	return func(r Request) bool {
		for _, name := range names {
			if r.Operation() == name {
				return true
			}
		}
		return false
	}
}

// Part matches the upload of one part.
func Part(n int) Match {
	return func(r Request) bool {
		return r.Operation() == "UploadPart" && r.Query.Get("partNumber") == strconv.Itoa(n)
	}
}

// Fault answers a request in place of Forward.
type Fault func(p *Proxy, w http.ResponseWriter, r *http.Request)

type injection struct {
	when  Match
	times int // left; negative: always
	fault Fault
}

// Always lets a fault befall every request that matches.
const Always = -1

// Inject lets the fault befall the next requests that match, as often as times
// says. Of several the first applies.
func (p *Proxy) Inject(times int, when Match, fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &injection{when, times, fault})
}

// Answer refuses the request.
func Answer(status int, code, message string) Fault {
	refusal := &Refusal{status, code, message}
	return func(_ *Proxy, w http.ResponseWriter, r *http.Request) { refusal.write(w, r) }
}

// SlowDown asks to send less.
func SlowDown() Fault {
	return Answer(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
}

// ExpiredToken says that the session is over.
func ExpiredToken() Fault {
	return Answer(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
}

// ErrorInBody answers 200 with an error in the body, as a server does that has to
// answer before it is done. The request does not reach the real server.
func ErrorInBody(code string) Fault {
	refusal := &Refusal{Code: code, Message: "We encountered an internal error. Please try again."}
	return func(_ *Proxy, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusOK)
		refusal.writeBody(w)
	}
}

// ResetRequest resets the connection after n bytes of the request's body.
func ResetRequest(n int64) Fault {
	return func(_ *Proxy, w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, n)
		reset(w)
	}
}

// LoseAnswer lets the server do what is asked for and resets the connection in
// place of its answer.
func LoseAnswer() Fault {
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) {
		p.Forward(httptest.NewRecorder(), r)
		reset(w)
	}
}

// ResetResponse resets the connection after n bytes of the response's body.
func ResetResponse(n int64) Fault {
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) {
		p.Forward(&limited{ResponseWriter: w, left: n, end: func() { reset(w) }}, r)
	}
}

// reset closes the client's connection so that it sees a reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = c.NetConn()
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// Stall holds the request until the client gives up or the test ends.
func Stall() Fault {
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		p.hold(r)
	}
}

// StallResponse holds the response after n bytes of its body.
func StallResponse(n int64) Fault {
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) {
		p.Forward(&limited{ResponseWriter: w, left: n, end: func() {
			_ = http.NewResponseController(w).Flush()
			p.hold(r)
		}}, r)
	}
}

func (p *Proxy) hold(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.ended:
	}
	panic(http.ErrAbortHandler)
}

// limited passes the first bytes of a response.
type limited struct {
	http.ResponseWriter
	left int64
	end  func() // does not return
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

// Damage changes the first byte of the request's body on its way.
func Damage() Fault {
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) {
		r.Body = &damaged{ReadCloser: r.Body}
		p.Forward(w, r)
	}
}

type damaged struct {
	io.ReadCloser
	done bool
}

func (d *damaged) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if n > 0 && !d.done {
		p[0] ^= 1
		d.done = true
	}
	return n, err
}

// HideChecksums answers as a server does that ignores checksum headers.
func HideChecksums() Fault {
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) { p.Forward(hiding{w}, r) }
}

type hiding struct{ http.ResponseWriter }

func (h hiding) WriteHeader(status int) {
	for name := range h.Header() {
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			h.Header().Del(name)
		}
	}
	h.ResponseWriter.WriteHeader(status)
}

// Before runs something before the request is forwarded.
func Before(do func()) Fault {
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) {
		do()
		p.Forward(w, r)
	}
}

// IgnoreRange answers with the whole object, as servers do that know no ranges.
// fetch gets the object by another way, since the range is part of the signature.
func IgnoreRange(fetch func(bucket, key string) ([]byte, error)) Fault {
	return func(_ *Proxy, w http.ResponseWriter, r *http.Request) {
		request := newRequest(r)
		data, err := fetch(request.Bucket, request.Key)
		if err != nil {
			(&Refusal{http.StatusNotFound, "NoSuchKey", err.Error()}).write(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.Header().Set("ETag", `"of the whole object"`)
		_, _ = w.Write(data)
	}
}

var onlyV2 = regexp.MustCompile(`<(NextContinuationToken|KeyCount)>[^<]*</(NextContinuationToken|KeyCount)>`)

// V1Body answers a ListObjectsV2 call with the body of a ListObjects call: there
// may be more, but no token to get it with.
func V1Body() Fault {
	return func(p *Proxy, w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		p.Forward(answer, r)
		body := onlyV2.ReplaceAll(answer.Body.Bytes(), nil)
		for name, values := range answer.Header() {
			if !strings.EqualFold(name, "Content-Length") {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(answer.Code)
		_, _ = io.Copy(w, bytes.NewReader(body))
	}
}
