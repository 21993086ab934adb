package plugintest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
)

// serveStock serves a store and an action on go-plugin's own server, with the
// weaknesses of plugins that are built on it by hand.
func serveStock(store *dirStore) {
	dieOnInterrupt()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: 2, MagicCookieKey: "VELERO_PLUGIN", MagicCookieValue: "hello"},
		Plugins:         plugin.PluginSet{"stock": &stockPlugin{store: store}},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}

type stockPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	store *dirStore
}

func (p *stockPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}

func (p *stockPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "generated.PluginLister", Methods: []grpc.MethodDesc{
		answer("ListPlugins", func(context.Context, *abi.Empty) (any, error) { return stockList(), nil }),
	}}, nil)
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "generated.ObjectStore",
		Methods: []grpc.MethodDesc{
			answer("Init", func(ctx context.Context, in *abi.InitRequest) (any, error) {
				_, err := p.store.Init(ctx, sdk.InitInput{Config: in.GetConfig()})
				return &abi.Empty{}, err
			}),
			answer("ObjectExists", func(ctx context.Context, in *abi.ObjectRequest) (any, error) {
				found, err := p.store.ObjectExists(ctx, sdk.ObjectExistsInput{Bucket: in.GetBucket(), Key: in.GetKey()})
				return &abi.ObjectExistsResponse{Exists: found.Exists}, err
			}),
			answer("DeleteObject", func(ctx context.Context, in *abi.ObjectRequest) (any, error) {
				_, err := p.store.DeleteObject(ctx, sdk.DeleteObjectInput{Bucket: in.GetBucket(), Key: in.GetKey()})
				return &abi.Empty{}, err
			}),
			answer("ListObjects", func(ctx context.Context, in *abi.ListObjectsRequest) (any, error) {
				listed, err := p.store.ListObjects(ctx, sdk.ListObjectsInput{Bucket: in.GetBucket(), Prefix: in.GetPrefix()})
				return &abi.ListObjectsResponse{Keys: listed.Keys}, err
			}),
		},
		Streams: []grpc.StreamDesc{
			{StreamName: "PutObject", ClientStreams: true, Handler: p.put},
			{StreamName: "GetObject", ServerStreams: true, Handler: p.get},
		},
	}, nil)
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "v2.BackupItemAction", Methods: []grpc.MethodDesc{
		answer("AppliesTo", func(context.Context, *abi.AppliesToRequest) (any, error) { return &abi.AppliesToResponse{}, nil }),
		answer("Execute", func(_ context.Context, in *abi.BackupItemRequest) (any, error) {
			return &abi.BackupItemResponse{Item: in.GetItem()}, nil
		}),
		answer("Progress", func(context.Context, *abi.OperationRequest) (any, error) { return &abi.ProgressResponse{}, nil }),
	}}, nil)
	return nil
}

func stockList() *abi.ListPluginsResponse {
	list := &abi.ListPluginsResponse{}
	for _, entry := range [][2]string{
		{"ObjectStore", "example.io/fs"}, {"BackupItemActionV2", "example.io/stamp"},
	} {
		list.Plugins = append(list.Plugins, &abi.PluginIdentifier{Command: os.Args[0], Kind: entry[0], Name: entry[1]})
	}
	return list
}

// answer is a method that checks no name.
func answer[M any](name string, f func(context.Context, *M) (any, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		request := new(M)
		if err := decode(request); err != nil {
			return nil, err
		}
		return f(ctx, request)
	}}
}

// put returns at the first error, without reading the rest.
func (p *stockPlugin) put(_ any, stream grpc.ServerStream) error {
	var first abi.PutObjectRequest
	if err := stream.RecvMsg(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return stream.SendMsg(&abi.Empty{})
		}
		return err
	}
	body := io.MultiReader(strings.NewReader(string(first.GetBody())), &stockBody{stream: stream})
	if _, err := p.store.PutObject(stream.Context(), sdk.PutObjectInput{Bucket: first.GetBucket(), Key: first.GetKey(), Body: body}); err != nil {
		return err
	}
	return stream.SendMsg(&abi.Empty{})
}

type stockBody struct {
	stream grpc.ServerStream
	rest   []byte
}

func (b *stockBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		var m abi.PutObjectRequest
		if err := b.stream.RecvMsg(&m); err != nil {
			return 0, err
		}
		b.rest = m.GetBody()
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// get takes a read of no bytes for the end.
func (p *stockPlugin) get(_ any, stream grpc.ServerStream) error {
	var in abi.ObjectRequest
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	object, err := p.store.GetObject(stream.Context(), sdk.GetObjectInput{Bucket: in.GetBucket(), Key: in.GetKey()})
	if err != nil {
		return err
	}
	defer object.Body.Close()
	body := &hesitant{Reader: object.Body}
	chunk := make([]byte, 16384)
	for {
		n, err := body.Read(chunk)
		if n == 0 || errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = stream.SendMsg(&abi.Bytes{Data: chunk[:n]})
		}
		if err != nil {
			return err
		}
	}
}

// hesitant returns nothing at every tenth read, as a reader may.
type hesitant struct {
	io.Reader
	reads int
}

func (r *hesitant) Read(p []byte) (int, error) {
	if r.reads++; r.reads%10 == 0 {
		return 0, nil
	}
	return r.Reader.Read(p)
}
