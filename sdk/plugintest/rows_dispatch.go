package plugintest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// dispatchRows are about calls of any kind, and about what a plugin writes
// while it serves them.
func dispatchRows() []Row {
	return []Row{{
		ID: "call.unknown-name", Level: Must, Name: "unknown name",
		Contract:    "a call for a name that is not registered is answered with an error, in every service, and the plugin lives on",
		Consequence: "a misspelt provider reaches another store, or takes the plugin down",
		run:         unknownName,
	}, {
		ID: "call.garbage", Level: Must, Name: "garbage",
		Contract:    "bytes that are no message, and messages with items that are no object with a kind, are answered with an error, and the plugin lives on",
		Consequence: "one broken object makes the backup fail as a whole, or a broken one is stored",
		run:         garbage,
	}, {
		ID: "call.panic", Level: Must, Name: "panic",
		Contract:    "a panic of an action is answered as Aborted with its text, and the plugin lives on",
		Consequence: "one object that the action cannot handle takes the plugin down, and with it the rest of the backup",
		needs:       []need{panics},
		run:         panicAnswered,
	}, {
		ID: "call.panic-stack", Level: Should, Name: "stack of a panic",
		Contract:    "the answer to a panic carries the stack of the panic",
		Consequence: "Velero's log does not tell where in the plugin it went wrong",
		needs:       []need{panics},
		run:         panicStack,
	}, {
		ID: "call.first-use", Level: Must, Name: "64 first calls at once",
		Contract:    "64 parallel calls to a fresh process, which use all of its names for the first time, are all answered right",
		Consequence: "backups that run at the same time crash the plugin or mix up their objects",
		run:         firstUse,
	}, {
		ID: "log.lines", Level: Should, Name: "log lines",
		Contract:    "every line on stderr is a JSON object shorter than 64 KiB with a known @level and strings in the fields that the host reads",
		Consequence: "lines of the plugin are lost, show up with the wrong level, or end the Velero server's process",
		run:         logLines,
	}, {
		ID: "log.prints", Level: Should, Name: "stray prints",
		Contract:    "what an action prints blocks nothing and does not reach the host's stdout pipe",
		Consequence: "the plugin stands still in the middle of a backup once a pipe is full",
		needs:       []need{prints},
		run:         strayPrints,
	}}
}

const noSuchName = "velero.io/plugintest-does-not-exist"

// kinds returns each kind that the plugin lists once.
func (s *Suite) kinds() []wire.Kind {
	var kinds []wire.Kind
	seen := map[wire.Kind]bool{}
	for _, o := range s.listed {
		if !seen[o.kind] && o.kind.Service() != "" {
			seen[o.kind] = true
			kinds = append(kinds, o.kind)
		}
	}
	return kinds
}

func unknownName(ctx context.Context, s *session) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	for _, kind := range s.kinds() {
		// Both requests have the name in field 1.
		err := p.Conn.Invoke(ctx, kind.FirstMethod(), &abi.AppliesToRequest{Plugin: noSuchName}, &abi.AppliesToResponse{})
		if err == nil {
			return fmt.Errorf("%s answers without an error", kind.FirstMethod())
		}
		if err := alive(ctx, p); err != nil {
			return fmt.Errorf("after %s: %w", kind.FirstMethod(), err)
		}
	}
	if len(s.names(wire.ObjectStore)) > 0 {
		st := wire.Store{Conn: p.Conn, Name: noSuchName, Bucket: "b"}
		if err := st.Put(ctx, "k", strings.NewReader("x")); err == nil {
			return errors.New("PutObject answers without an error")
		}
		if down, err := st.Get(ctx, "k"); err == nil {
			if _, err := down.Read(make([]byte, 1)); isEnd(err) {
				return errors.New("GetObject answers without an error")
			}
		}
	}
	return alive(ctx, p)
}

// alive returns an error unless the same process still answers.
func alive(ctx context.Context, p *host.Plugin) error {
	if _, err := wire.List(ctx, p.Conn); err != nil {
		return fmt.Errorf("the plugin does not answer any more: %w", err)
	}
	return nil
}

// rawCodec sends bytes as they are.
type rawCodec struct{ encoding.CodecV2 }

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

func garbage(ctx context.Context, s *session) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	for _, kind := range s.kinds() {
		err := p.Conn.Invoke(ctx, kind.FirstMethod(), []byte{0xff, 0xff, 0xff}, []byte(nil), grpc.ForceCodecV2(rawCodec{}))
		if err == nil {
			return fmt.Errorf("%s accepts bytes that are no message", kind.FirstMethod())
		}
		if err := alive(ctx, p); err != nil {
			return fmt.Errorf("after bytes that are no message: %w", err)
		}
	}
	for _, a := range s.actionsOf(p) {
		if err := badItems(ctx, p, a); err != nil {
			return fmt.Errorf("%s %s: %w", a.Kind, a.Name, err)
		}
	}
	return nil
}

func badItems(ctx context.Context, p *host.Plugin, a wire.Action) error {
	for _, item := range []string{
		"", "null", "{", "{}", "[]", `"text"`, "1", "\x00\xff", `{"kind":""}`, `{"metadata":{"name":"a"}}`,
		`{"kind":7,"apiVersion":"v1"}`, `{"kind":"ConfigMap","metadata":`, strings.Repeat(`{"a":`, 20000),
	} {
		if _, err := a.Execute(ctx, []byte(item), backupFor(a.Kind)); err == nil {
			return fmt.Errorf("the item %.40q is accepted", item)
		}
		if err := alive(ctx, p); err != nil {
			return fmt.Errorf("after the item %.40q: %w", item, err)
		}
	}
	for _, owner := range []string{"", "null", "[]", "{", "\x00"} {
		// An action need not read its Backup or Restore, so either answer is right.
		// The process has to go on in any case.
		_, _ = a.Execute(ctx, []byte(sampleItem), []byte(owner))
		if err := alive(ctx, p); err != nil {
			return fmt.Errorf("after the backup or restore %q: %w", owner, err)
		}
	}
	return nil
}

// provoked calls the action that misbehaves on purpose.
func (s *session) provoked(p *host.Plugin) wire.Action {
	return wire.Action{Conn: p.Conn, Kind: wire.Kind(s.plugin.Provoke.Kind), Name: s.plugin.Provoke.Name}
}

func panicAnswered(ctx context.Context, s *session) error {
	return s.eachPanic(ctx, func(text string, answer *status.Status) error {
		if answer.Code() != codes.Aborted {
			return fmt.Errorf("the code is %s", answer.Code())
		}
		if !strings.Contains(answer.Message(), text) {
			return fmt.Errorf("the answer %.200q does not contain %q", answer.Message(), text)
		}
		return nil
	})
}

func panicStack(ctx context.Context, s *session) error {
	return s.eachPanic(ctx, func(_ string, answer *status.Status) error {
		for _, detail := range answer.Proto().GetDetails() {
			if detail.GetTypeUrl() != "type.googleapis.com/generated.Stack" {
				continue
			}
			var stack abi.Stack
			if err := proto.Unmarshal(detail.GetValue(), &stack); err != nil {
				return err
			}
			if frames := stack.GetFrames(); len(frames) > 0 && frames[0].GetFile() != "" && frames[0].GetLine() > 0 {
				return nil
			}
		}
		return errors.New("no stack in the details of the status")
	})
}

func (s *session) eachPanic(ctx context.Context, judge func(text string, answer *status.Status) error) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	a := s.provoked(p)
	for text, item := range s.plugin.Provoke.Panics {
		_, err := a.Execute(ctx, item, backupFor(a.Kind))
		if err := judge(text, status.Convert(err)); err != nil {
			return err
		}
		if err := alive(ctx, p); err != nil {
			return fmt.Errorf("after the panic %q: %w", text, err)
		}
	}
	return nil
}

func firstUse(ctx context.Context, s *session) error {
	const parallel = 64
	p, err := s.start()
	if err != nil {
		return err
	}
	calls := s.mixedCalls(p)
	if len(calls) == 0 {
		return notHere{errors.New("the plugin lists nothing that can be called without a backend")}
	}
	errs := make([]error, parallel)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range parallel {
		done.Go(func() {
			<-start
			errs[i] = calls[i%len(calls)](ctx, i)
		})
	}
	close(start)
	done.Wait()
	return errors.Join(append(errs, alive(ctx, p))...)
}

// mixedCalls returns calls to all names that can be used.
func (s *session) mixedCalls(p *host.Plugin) []func(ctx context.Context, i int) error {
	var calls []func(context.Context, int) error
	if store(s.Suite) == "" {
		st := s.store(p)
		calls = append(calls, func(ctx context.Context, i int) error {
			if err := s.initStore(ctx, st); err != nil {
				return err
			}
			key := s.key(fmt.Sprint("object-", i))
			body := newPattern(key, int64(100_000+i*997))
			if err := st.Put(ctx, key, body.reader()); err != nil {
				return err
			}
			if _, err := st.List(ctx, s.key("")); err != nil {
				return err
			}
			return same(ctx, st, key, body)
		})
	}
	for _, a := range s.actionsOf(p) {
		calls = append(calls, func(ctx context.Context, _ int) error {
			if _, err := a.AppliesTo(ctx); err != nil {
				return err
			}
			if err := s.checkItems(ctx, a); err != nil {
				return fmt.Errorf("%s %s: %w", a.Kind, a.Name, err)
			}
			return nil
		})
	}
	if snapshotter(s.Suite) == "" {
		v := s.snapshotter(p)
		calls = append(calls, func(ctx context.Context, _ int) error {
			if err := s.initSnapshotter(ctx, v); err != nil {
				return err
			}
			return s.askOnce(ctx, v)
		})
	}
	return calls
}

func logLines(ctx context.Context, s *session) error {
	b, err := s.startBare(ctx, s.launchWith([]string{"--log-level", "debug"}))
	if err != nil {
		return err
	}
	conn, err := b.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	p := &host.Plugin{Process: b.Process, Conn: conn}
	for _, kind := range s.kinds() {
		// Other rows check the answers of these calls; this one checks what is logged.
		_ = conn.Invoke(ctx, kind.FirstMethod(), &abi.AppliesToRequest{Plugin: noSuchName}, &abi.AppliesToResponse{})
	}
	if store(s.Suite) == "" {
		st := s.store(p)
		if err := s.initStore(ctx, st); err != nil {
			return err
		}
		_ = st.In(noSuchBucket).Put(ctx, s.key("x"), strings.NewReader("x"))
		_, _ = st.Exists(ctx, s.key("x"))
	}
	for _, a := range s.actionsOf(p) {
		_, _ = a.Execute(ctx, []byte("{"), backupFor(a.Kind))
		_ = s.checkItems(ctx, a)
	}
	if prov := s.plugin.Provoke; prov != nil {
		for _, item := range prov.Panics {
			_, _ = s.provoked(p).Execute(ctx, item, backupFor(wire.Kind(prov.Kind)))
		}
	}
	if _, err := shutDown(ctx, b); err != nil {
		return err
	}
	if err := streamsEnd(ctx, b.Stderr()); err != nil {
		return err
	}
	return errors.Join(onlyHandshake(ctx, b), auditLog(b.Stderr().Bytes()))
}

func strayPrints(ctx context.Context, s *session) error {
	b, err := s.startBare(ctx, s.launch())
	if err != nil {
		return err
	}
	conn, err := b.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	a := s.provoked(&host.Plugin{Conn: conn})
	call, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := a.Execute(call, s.plugin.Provoke.Prints, backupFor(a.Kind)); err != nil {
		return err
	}
	return endQuietly(ctx, b)
}
