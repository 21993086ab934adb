package plugintest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/host"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// operationRows are about operations that go on after an action has answered.
func operationRows() []Row {
	return []Row{{
		ID: "action.operations", Level: Must, Name: "unknown operation",
		Contract:    "Progress and Cancel of an operation that does not exist return promptly, Progress with an error or a state, never with nothing",
		Consequence: "the Velero server crashes, or asks for ever, when an operation is lost",
		needs:       []need{operations},
		run:         unknownOperation,
	}, {
		ID: "operation.begin", Level: Must, Name: "operation",
		Contract:    "an action that begins an operation gives its id, and Progress in the same process has a state for it",
		Consequence: "the backup is complete before its data is, or fails at once",
		needs:       []need{operationSamples},
		run:         operationBegins,
	}, {
		ID: "operation.new-process", Level: Must, Name: "operation in a new process",
		Contract:    "another process knows the state of the operation: no error, counts that are not negative, and as completed only if it is",
		Consequence: "the operation fails at Velero's next look, ten seconds later, as that comes from a new process",
		needs:       []need{operationSamples},
		run:         operationElsewhere,
	}, {
		ID: "operation.cancel", Level: Must, Name: "cancelled operation",
		Contract:    "Cancel in another process returns promptly without an error, and Progress still has a state for the operation",
		Consequence: "an operation beyond its time limit blocks the backups behind it, or goes on for ever",
		needs:       []need{operationSamples},
		run:         operationCancelled,
	}, {
		ID: "operation.finalizing", Level: Must, Name: "item of a backup that is finalized",
		Contract:    "when an item is handed in again at the end of its backup no operation is begun",
		Consequence: "each backup with an operation ends as PartiallyFailed",
		needs:       []need{backupOperationSamples},
		run:         finalizing,
	}}
}

// prompt is the longest that Progress and Cancel may take.
const prompt = 15 * time.Second

func operationSamples(s *Suite) string {
	if len(s.plugin.Operations) == 0 {
		return "no item is given with which an action begins an operation"
	}
	return ""
}

func backupOperationSamples(s *Suite) string {
	for _, o := range s.plugin.Operations {
		if wire.Kind(o.Kind) == wire.BackupItemActionV2 {
			return ""
		}
	}
	return "no item is given with which a backup action begins an operation"
}

func unknownOperation(ctx context.Context, s *session) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range s.actionsOf(p) {
		if a.Kind.Asynchronous() {
			if err := checkUnknown(ctx, a); err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", a.Kind, a.Name, err))
			}
		}
	}
	return errors.Join(append(errs, alive(ctx, p))...)
}

func checkUnknown(ctx context.Context, a wire.Action) error {
	ctx, cancel := context.WithTimeoutCause(ctx, prompt, errors.New("no prompt answer"))
	defer cancel()
	for _, id := range []string{"plugintest-no-such-operation", ""} {
		for _, owner := range [][]byte{backupFor(a.Kind), nil} {
			progress, err := a.Progress(ctx, id, owner)
			if err == nil && progress == nil {
				return errNoState
			}
			// Hosts ignore what Cancel answers, but they wait for it.
			_ = a.Cancel(ctx, id, owner)
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

var errNoState = errors.New("the answer of Progress is empty, which ends the host's process")

// eachOperation begins the operation of each sample and hands it to check.
func (s *session) eachOperation(ctx context.Context, check func(context.Context, wire.Action, string) error) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range s.plugin.Operations {
		if err := beginAnd(ctx, s.actionOf(o, p), o.Item, check); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", o.Kind, o.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *session) actionOf(o Operation, p *host.Plugin) wire.Action {
	return wire.Action{Conn: p.Conn, Kind: wire.Kind(o.Kind), Name: o.Name}
}

func beginAnd(ctx context.Context, a wire.Action, item []byte, check func(context.Context, wire.Action, string) error) error {
	result, err := a.Execute(ctx, item, backupFor(a.Kind))
	if err != nil {
		return err
	}
	if result.OperationID == "" {
		return errors.New("no operation is begun")
	}
	return check(ctx, a, result.OperationID)
}

// stateOf asks for the state of an operation that exists.
func stateOf(ctx context.Context, a wire.Action, operation string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, prompt, errors.New("no prompt answer"))
	defer cancel()
	progress, err := a.Progress(ctx, operation, backupFor(a.Kind))
	if err != nil {
		return fmt.Errorf("calling Progress: %w", err)
	}
	return checkState(progress)
}

func checkState(p *abi.OperationProgress) error {
	done, total := p.GetNCompleted(), p.GetNTotal()
	switch {
	case p == nil:
		return errNoState
	case done < 0 || total < 0:
		return fmt.Errorf("%d of %d are done", done, total)
	case !p.GetCompleted() && p.GetErr() != "":
		return fmt.Errorf("the operation is not completed and has the error %q, which nobody will see", p.GetErr())
	case p.GetCompleted() && p.GetErr() == "" && total > 0 && done < total:
		return fmt.Errorf("the operation is completed without an error, and %d of %d are done", done, total)
	}
	return nil
}

func operationBegins(ctx context.Context, s *session) error {
	return s.eachOperation(ctx, stateOf)
}

func operationElsewhere(ctx context.Context, s *session) error {
	return s.eachOperation(ctx, func(ctx context.Context, a wire.Action, operation string) error {
		other, err := s.elsewhere(a)
		if err != nil {
			return err
		}
		return stateOf(ctx, other, operation)
	})
}

// elsewhere starts a new process of the plugin and returns the action in it.
func (s *session) elsewhere(a wire.Action) (wire.Action, error) {
	p, err := s.start()
	if err != nil {
		return a, err
	}
	a.Conn = p.Conn
	return a, nil
}

func operationCancelled(ctx context.Context, s *session) error {
	return s.eachOperation(ctx, func(ctx context.Context, a wire.Action, operation string) error {
		other, err := s.elsewhere(a)
		if err != nil {
			return err
		}
		if err := cancelOperation(ctx, other, operation); err != nil {
			return fmt.Errorf("calling Cancel: %w", err)
		}
		if other, err = s.elsewhere(a); err != nil {
			return err
		}
		return stateOf(ctx, other, operation)
	})
}

func cancelOperation(ctx context.Context, a wire.Action, operation string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, prompt, errors.New("no prompt answer"))
	defer cancel()
	return a.Cancel(ctx, operation, backupFor(a.Kind))
}

func finalizing(ctx context.Context, s *session) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	for _, o := range s.plugin.Operations {
		a := s.actionOf(o, p)
		if a.Kind != wire.BackupItemActionV2 {
			continue
		}
		for _, phase := range []string{"Finalizing", "FinalizingPartiallyFailed"} {
			result, err := a.Execute(ctx, o.Item, ownerInPhase(a.Kind, phase))
			if err != nil {
				return fmt.Errorf("%s in phase %s: %w", o.Name, phase, err)
			}
			if result.OperationID != "" {
				return fmt.Errorf("%s begins the operation %q in phase %s", o.Name, result.OperationID, phase)
			}
		}
	}
	return nil
}
