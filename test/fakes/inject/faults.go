package inject

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
)

// Drop resets the connection without doing anything.
func Drop() Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { reset(w) }
}

// ResetRequest resets the connection after n bytes of the request's body. The
// service does not see the request.
func ResetRequest(n int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.CopyN(io.Discard, r.Body, n)
		reset(w)
	}
}

// LoseAnswer lets the service do what is asked for and resets the connection in
// place of its answer, so that the client does not learn of it.
func LoseAnswer() Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		service.ServeHTTP(httptest.NewRecorder(), r)
		reset(w)
	}
}

// ResetResponse resets the connection after the header and n bytes of the
// response's body.
func ResetResponse(n int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		service.ServeHTTP(&limited{ResponseWriter: w, left: n, end: func() { reset(w) }}, r)
	}
}

// CutShort lets the service do what is asked for and ends the connection in the
// middle of the answer, without a reset.
func CutShort() Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		answer := httptest.NewRecorder()
		service.ServeHTTP(answer, r)
		w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Stall reads the request and answers nothing, until the client gives up or the
// fake ends. The service does not see the request.
func Stall() Fault {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		// Only a server that has read the body notices that the client is gone.
		_, _ = io.Copy(io.Discard, r.Body)
		hold(r)
	}
}

// StallResponse holds the response after its header and n bytes of its body,
// until the client gives up or the fake ends.
func StallResponse(n int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		service.ServeHTTP(&limited{ResponseWriter: w, left: n, end: func() { hold(r) }}, r)
	}
}

// Damage changes the first byte of the request's body on its way to the service.
func Damage() Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		r.Body = &damaged{ReadCloser: r.Body}
		service.ServeHTTP(w, r)
	}
}

// Before runs something before the service answers.
func Before(do func()) Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		do()
		service.ServeHTTP(w, r)
	}
}

// hold does not return: it ends the request when its context is over.
func hold(r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// reset closes the client's connection so that the client sees a reset, and does
// not return.
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

// limited passes the header and the first bytes of a response.
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

// damaged is a body whose first byte is changed.
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
