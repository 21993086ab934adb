package endpoint

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// IsPermanent reports an error on the way to a server that another attempt cannot
// mend: a certificate, no TLS at all, or a redirection.
func IsPermanent(err error) bool {
	if errors.Is(err, CodeRedirect) {
		return true
	}
	switch Code(err).ID {
	case CodeUntrusted.ID, CodeExpired.ID, CodeCertificate.ID, CodeNotTLS.ID:
		return true
	}
	return false
}

// IsNetwork reports an error of the network or of a server that broke off, which
// another attempt may mend unless it [IsPermanent].
func IsNetwork(err error) bool {
	var (
		request *url.Error
		network net.Error
	)
	return errors.Is(err, ErrStalled) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &request) || errors.As(err, &network)
}

// IsDial reports whether an error is from opening the connection, so that the
// server has seen nothing of the request.
func IsDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// Attempts is how work is repeated when it fails.
type Attempts struct {
	Most       func(err error) int // how often work that fails with err is done at most
	FirstPause time.Duration       // before the second attempt; it doubles with each
	MaxPause   time.Duration
	Throttle   *Throttle // a pause that the server asks for; nil for none
	// Failed is called before each pause, and may be nil.
	Failed func(attempt int, pause time.Duration, err error)
	// Sleep is [Sleep], unless a test does not want to wait.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Do does work until it succeeds, fails for good, or has failed too often. It
// returns the last error of work, or the cause of the end of ctx.
func (a Attempts) Do(ctx context.Context, work func() error) error {
	delay := a.FirstPause
	for attempt := 1; ; attempt++ {
		err := work()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case attempt >= a.Most(err):
			return err
		}
		pause := max(jitter(delay), a.Throttle.left())
		delay = min(2*delay, a.MaxPause)
		if a.Failed != nil {
			a.Failed(attempt, pause, err)
		}
		sleep := a.Sleep
		if sleep == nil {
			sleep = Sleep
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// jitter spreads requests that failed together: it returns d ± 25 %.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

// Sleep waits for d, or returns the cause of the end of ctx.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// MaxThrottle is the longest pause that a server can ask for.
const MaxThrottle = 2 * time.Minute

// Throttle is until when a server asked for no further requests, by the header
// Retry-After of its answers. It is safe for concurrent use.
type Throttle struct {
	mu    sync.Mutex
	until time.Time
}

// Note reads the header of an answer 429 or 503.
func (t *Throttle) Note(resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return
	}
	after := resp.Header.Get("Retry-After")
	until, err := http.ParseTime(after)
	if seconds, secondsErr := strconv.Atoi(after); secondsErr == nil {
		until, err = time.Now().Add(time.Duration(min(seconds, int(MaxThrottle.Seconds())))*time.Second), nil
	}
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = until
}

// left returns how long the pause still takes.
func (t *Throttle) left() time.Duration {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return min(time.Until(t.until), MaxThrottle)
}
