package server

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// message is a pointer to a generated message type M.
type message[M any] interface {
	*M
	proto.Message
}

// Unary returns a method that decodes its request, calls f and answers with
// what f returns. A panic of f is answered as an error.
func Unary[M any, Request message[M], Response proto.Message](s *Server, name string, f func(context.Context, Request) (Response, error)) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			request := Request(new(M))
			if err := decode(request); err != nil {
				return nil, err
			}
			ctx, cancel := s.context(ctx)
			defer cancel()
			var response Response
			err := guard(func() string { return subject(name, request) }, func() (err error) {
				response, err = f(ctx, request)
				return err
			})
			if err != nil {
				return nil, answer(err)
			}
			return response, nil
		},
	}
}

// guard calls f and turns a panic into an error that names the subject.
func guard(subject func() string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, subject: subject(), trace: string(debug.Stack()), frames: frames()}
		}
	}()
	return f()
}

// subject names the call and what it works on, as far as the request tells.
func subject(method string, request any) string {
	text := method
	if r, ok := request.(interface{ GetPlugin() string }); ok {
		text = r.GetPlugin() + " " + text
	}
	if r, ok := request.(interface{ GetItem() []byte }); ok {
		var item struct {
			Kind     string
			Metadata struct{ Namespace, Name string }
		}
		if json.Unmarshal(r.GetItem(), &item) == nil {
			text += " on " + strings.TrimSpace(item.Kind+" "+path.Join(item.Metadata.Namespace, item.Metadata.Name))
		}
	}
	if r, ok := request.(interface{ GetKey() string }); ok {
		text += " on " + r.GetKey()
	}
	return text
}

// panicError is a panic of a plugin's implementation.
type panicError struct {
	value   any
	subject string
	trace   string
	frames  []*abi.StackFrame
}

func (e *panicError) Error() string {
	return fmt.Sprintf("plugin panicked: %v (in %s), stack trace: %s", e.value, e.subject, e.trace)
}

// frames returns the stack below the panic, innermost frame first.
func frames() []*abi.StackFrame {
	pcs := make([]uintptr, 64)
	iterator := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	var stack []*abi.StackFrame
	for {
		frame, more := iterator.Next()
		stack = append(stack, &abi.StackFrame{File: frame.File, Line: int32(frame.Line), Function: frame.Function})
		if strings.HasPrefix(frame.Function, "runtime.") && strings.Contains(frame.Function, "panic") {
			stack = stack[:0] // what handles the panic is of no interest
		}
		if !more {
			return stack
		}
	}
}

// answer returns an error with the status that the host expects: Aborted for a
// panic, the status that the error carries, else Unknown with the error's text.
func answer(err error) error {
	text := strings.ToValidUTF8(err.Error(), "?")
	if p, ok := err.(*panicError); ok {
		return &answered{withStack(status.New(codes.Aborted, text), p.frames), err}
	}
	if carried, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return &answered{carried.GRPCStatus(), err}
	}
	return &answered{status.New(codes.Unknown, text), err}
}

// answered is an error of an implementation and the status that the host gets
// for it.
type answered struct {
	status *status.Status
	error
}

func (e *answered) GRPCStatus() *status.Status { return e.status }
func (e *answered) Unwrap() error              { return e.error }

// withStack attaches frames under the name that the host looks for.
func withStack(st *status.Status, frames []*abi.StackFrame) *status.Status {
	value, err := proto.Marshal(&abi.Stack{Frames: frames})
	if err != nil {
		return st
	}
	p := st.Proto()
	p.Details = append(p.Details, &anypb.Any{TypeUrl: "type.googleapis.com/generated.Stack", Value: value})
	return status.FromProto(p)
}
