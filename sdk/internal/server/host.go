package server

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"google.golang.org/grpc"
)

// hostServices are the services of the plugin system itself. The host opens one
// stream of the stdio service and one of the broker at the start. Nothing
// travels on them, but they keep the host's connection from being closed as
// idle, so that its loss means something.
func (s *Server) hostServices() []grpc.ServiceDesc {
	return []grpc.ServiceDesc{
		{
			ServiceName: "plugin.GRPCController",
			Methods:     []grpc.MethodDesc{Unary(s, "Shutdown", s.shutdown)},
		},
		{
			ServiceName: "plugin.GRPCStdio",
			Streams: []grpc.StreamDesc{{
				StreamName:    "StreamStdio",
				ServerStreams: true,
				Handler:       s.park,
			}},
		},
		{
			ServiceName: "plugin.GRPCBroker",
			Streams: []grpc.StreamDesc{{
				StreamName:    "StartStream",
				ServerStreams: true,
				ClientStreams: true,
				Handler:       s.park,
			}},
		},
	}
}

func (s *Server) shutdown(context.Context, *abi.Empty) (*abi.Empty, error) {
	s.end(errShutdown)
	return &abi.Empty{}, nil
}

func (s *Server) park(_ any, stream grpc.ServerStream) error {
	select {
	case <-stream.Context().Done():
	case <-s.running.Done():
	}
	return nil
}
