package slowlink

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

func TestBucketDeparture(t *testing.T) {
	const rate = 1 << 20
	start := time.Unix(1000, 0)

	t.Run("holds the rate", func(t *testing.T) {
		link := bucket{rate: rate}
		var last time.Time
		for range 64 {
			last = link.departure(start, rate/8)
		}
		want := 8*time.Second - link.duration(burst)
		if got := last.Sub(start); got != want {
			t.Errorf("8 MiB at 1 MiB/s left after %v, want %v", got, want)
		}
	})
	t.Run("saves up no more than a burst", func(t *testing.T) {
		link := bucket{rate: rate}
		link.departure(start, 1)
		later := start.Add(time.Hour)
		if got := link.departure(later, burst); !got.Equal(later) {
			t.Errorf("a burst after a pause left %v late", got.Sub(later))
		}
		if got := link.departure(later, rate).Sub(later); got != time.Second {
			t.Errorf("1 MiB after the burst left after %v, want 1s", got)
		}
	})
	t.Run("makes up for lateness", func(t *testing.T) {
		link := bucket{rate: rate}
		link.departure(start, rate)
		due := link.departure(start.Add(900*time.Millisecond), rate)
		want := 2*time.Second - link.duration(burst)
		if got := due.Sub(start); got != want {
			t.Errorf("the second MiB left at %v, want %v", got, want)
		}
	})
	t.Run("no rate is no limit", func(t *testing.T) {
		var link bucket
		if got := link.departure(start, 1<<30); !got.Equal(start) {
			t.Errorf("left %v late", got.Sub(start))
		}
	})
}

func TestProxyCarriesBothDirectionsToTheirEnd(t *testing.T) {
	proxy := start(t, echo(t), Path{RoundTrip: 2 * time.Millisecond, BytesPerSecond: 256 << 20})
	content := make([]byte, 5<<20+7)
	rand.NewChaCha8([32]byte{}).Read(content)

	conn := dial(t, proxy)
	go func() {
		conn.Write(content)
		conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Errorf("%d bytes came back changed, %d were sent", len(got), len(content))
	}
}

func TestProxyDelaysByTheRoundTrip(t *testing.T) {
	const roundTrip = 40 * time.Millisecond
	proxy := start(t, echo(t), Path{RoundTrip: roundTrip})
	conn := dial(t, proxy)
	ping(t, conn) // pays for the connection
	if took := ping(t, conn); took < roundTrip {
		t.Errorf("an answer came after %v, before the round trip of %v", took, roundTrip)
	}
}

// The byte that waits for its time must not keep the next ones from being read.
func TestProxyDelaysWithoutStopping(t *testing.T) {
	const roundTrip, pieces = 100 * time.Millisecond, 50
	proxy := start(t, echo(t), Path{RoundTrip: roundTrip})
	conn := dial(t, proxy)
	ping(t, conn)

	begin := time.Now()
	go func() {
		for range pieces {
			conn.Write([]byte{1})
			time.Sleep(time.Millisecond)
		}
	}()
	if _, err := io.ReadFull(conn, make([]byte, pieces)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > pieces*roundTrip/4 {
		t.Errorf("%d single bytes took %v: each waits for the one before it", pieces, took)
	}
}

func TestProxyPassesAResetOn(t *testing.T) {
	target := serve(t, func(conn *net.TCPConn) {
		io.ReadFull(conn, make([]byte, 1))
		conn.SetLinger(0)
	})
	conn := dial(t, start(t, target, Path{RoundTrip: time.Millisecond}))
	conn.Write([]byte{1, 2})
	if n, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read %d bytes with error %v from a connection that the server reset", n, err)
	}
}

func TestProxyBreaksTheConnectionWithoutATarget(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	conn, err := net.Dial("tcp", start(t, nobody, Path{}).Addr())
	if err != nil {
		return // the reset came before Dial was done
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read %d bytes with error %v, want a broken connection", n, err)
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	proxy, err := Listen(echo(t), Path{RoundTrip: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, proxy)
	conn.Write([]byte{1})
	if err := proxy.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlived the proxy")
	}
}

// BenchmarkRoundTrip fails if one takes less than it should, or clearly more.
func BenchmarkRoundTrip(b *testing.B) {
	path := Path{RoundTrip: 20 * time.Millisecond, BytesPerSecond: 40 << 20}
	conn := dial(b, start(b, echo(b), path))
	ping(b, conn)
	for b.Loop() {
		ping(b, conn)
	}
	mean := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(mean.Microseconds())/1000, "ms/roundtrip")
	if mean < path.RoundTrip || mean > path.RoundTrip*5/4 {
		b.Errorf("round trip of %v, want %v", mean, path.RoundTrip)
	}
}

// BenchmarkThroughput sends 16 MiB each time and fails more than a tenth off
// the rate.
func BenchmarkThroughput(b *testing.B) {
	path := Path{RoundTrip: 20 * time.Millisecond, BytesPerSecond: 40 << 20}
	conn := dial(b, start(b, echo(b), path))
	ping(b, conn)
	content := make([]byte, 16<<20)
	received := make([]byte, len(content))
	for b.Loop() {
		go conn.Write(content)
		if _, err := io.ReadFull(conn, received); err != nil {
			b.Fatal(err)
		}
	}
	rate := float64(b.N*len(content)) / b.Elapsed().Seconds()
	b.ReportMetric(rate/(1<<20), "MiB/s")
	if off := rate / float64(path.BytesPerSecond); off < 0.9 || off > 1.1 {
		b.Errorf("%.1f MiB/s, want %d", rate/(1<<20), path.BytesPerSecond>>20)
	}
}

func start(t testing.TB, target string, path Path) *Proxy {
	t.Helper()
	proxy, err := Listen(target, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	return proxy
}

func echo(t testing.TB) string {
	return serve(t, func(conn *net.TCPConn) { io.Copy(conn, conn) })
}

// serve hands each connection to handle and closes it afterwards.
func serve(t testing.TB, handle func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn.(*net.TCPConn))
			}()
		}
	}()
	return listener.Addr().String()
}

func dial(t testing.TB, proxy *Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func ping(t testing.TB, conn net.Conn) time.Duration {
	t.Helper()
	begin := time.Now()
	if _, err := conn.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return time.Since(begin)
}
