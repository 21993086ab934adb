package plugintest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

const (
	graceOfHost = 2 * time.Second       // the time that the Velero server gives a plugin to end
	soon        = 20 * time.Second      // limit for what takes no time on an idle machine
	pollPeriod  = 20 * time.Millisecond // pause between two looks at a condition
)

// eventually polls until met returns nil, and returns its last error when that
// does not happen in time.
func eventually(ctx context.Context, within time.Duration, met func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		err := met()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// streamsEnd waits until streams are at their end, which they are when no
// process holds them any longer.
func streamsEnd(ctx context.Context, streams ...*process.Stream) error {
	for _, s := range streams {
		select {
		case <-s.Ended():
		case <-time.After(graceOfHost):
			return errors.New("the process has ended but a child of it holds stdout or stderr")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// answers returns an error unless a plugin answers.
func answers(ctx context.Context, b *host.Bare) error {
	conn, err := b.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := wire.List(ctx, conn); err != nil {
		return fmt.Errorf("ListPlugins: %w", err)
	}
	return nil
}

// shutDown asks a plugin to end and waits until it has, which has to be in the
// time that the Velero server gives.
func shutDown(ctx context.Context, b *host.Bare) (process.Exit, error) {
	conn, err := b.Dial()
	if err != nil {
		return process.Exit{}, err
	}
	defer conn.Close()
	if _, err := wire.List(ctx, conn); err != nil {
		return process.Exit{}, fmt.Errorf("ListPlugins: %w", err)
	}
	return endAsHost(ctx, b.Process, conn)
}

// endAsHost asks a plugin to end, drops the connection and waits, in the order
// and for the time of the Velero server.
func endAsHost(ctx context.Context, p *process.Process, conn *grpc.ClientConn) (process.Exit, error) {
	// The plugin may be gone before it has answered.
	_ = wire.Shutdown(ctx, conn)
	_ = conn.Close()
	return ended(ctx, p, time.Now())
}

// ended waits until a plugin that was asked to end at the given time has ended.
func ended(ctx context.Context, p *process.Process, asked time.Time) (process.Exit, error) {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	exit, err := p.Wait(ctx)
	if err != nil {
		return exit, err
	}
	if took := exit.At.Sub(asked); took >= graceOfHost {
		return exit, fmt.Errorf("it took %s to end; the Velero server kills after %s", took.Round(time.Millisecond), graceOfHost)
	}
	if exit.Code != 0 {
		return exit, fmt.Errorf("%s instead of exit code 0", exit)
	}
	return exit, nil
}

// noLeak calls run once, so that the plugin opens what it keeps open, and three times
// more. It returns an error if the plugin then has more descriptors open than after
// the first call, beyond a few of connections that come and go.
func noLeak(ctx context.Context, p *process.Process, run func() error) error {
	const slack = 16
	if err := run(); err != nil {
		return err
	}
	before, err := process.OpenFiles(p.PID())
	if err != nil {
		return err
	}
	for range 3 {
		if err := run(); err != nil {
			return err
		}
	}
	return eventually(ctx, soon, func() error {
		after, err := process.OpenFiles(p.PID())
		if err == nil && after > before+slack {
			err = fmt.Errorf("the plugin has %d open descriptors, it had %d", after, before)
		}
		return err
	})
}
