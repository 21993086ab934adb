package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
)

// Bare is a plugin that was started without go-plugin's client.
type Bare struct {
	*process.Process
	Handshake Handshake
}

// Handshake is the first line that a plugin prints.
type Handshake struct{ Line, Network, Address string }

// Exec starts the program with nothing but the environment of the launch: no
// cookie is set.
func Exec(l Launch) (*process.Process, error) {
	p, err := l.start(l.Env)
	if err != nil {
		return nil, err
	}
	p.Drain()
	return p, nil
}

// StartBare starts a plugin and waits for its handshake. When the handshake
// fails the process, if any, is returned beside the error and has ended.
func StartBare(ctx context.Context, l Launch) (*Bare, error) {
	p, err := l.start(slices.Concat(l.Env, handshakeEnv()))
	if err != nil {
		return nil, err
	}
	go io.Copy(io.Discard, p.Stderr())
	b := &Bare{Process: p}
	line := make(chan string, 1)
	go func() {
		stdout := bufio.NewReader(p.Stdout())
		first, _ := stdout.ReadString('\n') // parseHandshake refuses an incomplete line
		line <- first
		io.Copy(io.Discard, stdout)
	}()
	select {
	case first := <-line:
		b.Handshake, err = parseHandshake(first)
	case <-ctx.Done():
		err = fmt.Errorf("no handshake line: %w", context.Cause(ctx))
	}
	if err != nil {
		p.Kill()
	}
	return b, err
}

func parseHandshake(line string) (Handshake, error) {
	fail := func(why string) (Handshake, error) {
		return Handshake{Line: line}, fmt.Errorf("the first line on stdout is %q: %s", line, why)
	}
	text, ended := strings.CutSuffix(line, "\n")
	fields := strings.Split(text, "|")
	switch {
	case line == "":
		return Handshake{}, errors.New("nothing was printed on stdout")
	case !ended:
		return fail("it does not end")
	case len(fields) < 5 || len(fields) > 6:
		return fail("a handshake has the form 1|2|NETWORK|ADDRESS|grpc|")
	case fields[0] != "1" || fields[1] != "2" || fields[4] != "grpc":
		return fail("the versions and the protocol have to be 1, 2 and grpc")
	case fields[2] != "unix" && fields[2] != "tcp":
		return fail("the network has to be unix or tcp")
	case len(fields) == 6 && fields[5] != "":
		return fail("a certificate was not asked for")
	}
	return Handshake{line, fields[2], fields[3]}, nil
}

// Dial connects to the plugin with the limits of the Velero server.
func (b *Bare) Dial() (*grpc.ClientConn, error) {
	scheme := "passthrough:///"
	if b.Handshake.Network == "unix" {
		scheme = "unix:"
		if name, abstract := strings.CutPrefix(b.Handshake.Address, "@"); abstract {
			return dial("unix-abstract:" + name)
		}
	}
	return dial(scheme + b.Handshake.Address)
}

func dial(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
}

// SocketFile returns the path of the plugin's socket, or "" when it has none in
// the file system.
func (h Handshake) SocketFile() string {
	if h.Network != "unix" || strings.HasPrefix(h.Address, "@") {
		return ""
	}
	return h.Address
}
