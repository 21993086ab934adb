package host

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
)

// Call calls a method that has one request and one answer.
func (p *Plugin) Call(ctx context.Context, service, method string, request Message) (Message, error) {
	var answer Message
	err := p.Conn.Invoke(ctx, "/"+service+"/"+method, request, &answer, grpc.ForceCodecV2(codec{}))
	return answer, err
}

// Store is an object store of a plugin. Its methods are those of the Velero
// server's own client.
type Store struct {
	Plugin *Plugin
	Name   string
	Bucket string
}

const objectStore = "generated.ObjectStore"

func (s Store) call(ctx context.Context, method string, request Message) (Message, error) {
	return s.Plugin.Call(ctx, objectStore, method, request)
}

func (s Store) object(key string) Message {
	return Message{}.Text(1, s.Name).Text(2, s.Bucket).Text(3, key)
}

func (s Store) Init(ctx context.Context, config map[string]string) error {
	_, err := s.call(ctx, "Init", Message{}.Text(1, s.Name).Map(2, config))
	return err
}

func (s Store) Exists(ctx context.Context, key string) (bool, error) {
	answer, err := s.call(ctx, "ObjectExists", s.object(key))
	return len(answer) > 0, err // false is not written
}

func (s Store) Delete(ctx context.Context, key string) error {
	_, err := s.call(ctx, "DeleteObject", s.object(key))
	return err
}

func (s Store) List(ctx context.Context, prefix string) ([]string, error) {
	answer, err := s.call(ctx, "ListObjects", Message{}.Text(1, s.Name).Text(2, s.Bucket).Text(3, prefix))
	return texts(answer), err
}

func (s Store) Prefixes(ctx context.Context, prefix, delimiter string) ([]string, error) {
	answer, err := s.call(ctx, "ListCommonPrefixes",
		Message{}.Text(1, s.Name).Text(2, s.Bucket).Text(3, delimiter).Text(4, prefix))
	return texts(answer), err
}

func (s Store) SignedURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	answer, err := s.call(ctx, "CreateSignedURL", s.object(key).Int(4, int64(ttl)))
	return string(answer.First(1)), err
}

func texts(answer Message) []string {
	var out []string
	for value := range answer.Values(1) {
		out = append(out, string(value))
	}
	return out
}

// chunkSize is what the Velero server reads and sends at once.
const chunkSize = 16384

// Put sends body as the Velero server does. An error of body breaks the call
// off.
func (s Store) Put(ctx context.Context, key string, body io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.Plugin.Conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/"+objectStore+"/PutObject", grpc.ForceCodecV2(codec{}))
	if err != nil {
		return err
	}
	head := slices.Clip(s.object(key))
	for chunk := make([]byte, chunkSize); ; {
		n, err := io.ReadFull(body, chunk)
		if n > 0 {
			if err := stream.SendMsg(head.Bytes(4, chunk[:n])); err != nil {
				break // the answer says why
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if err := stream.CloseSend(); err != nil {
				return err
			}
			break
		}
		if err != nil {
			return err
		}
	}
	return stream.RecvMsg(new(Message))
}

// Get returns the object's bytes. As on the Velero server all errors show when
// it is read. The end of ctx breaks the call off.
func (s Store) Get(ctx context.Context, key string) (io.Reader, error) {
	stream, err := s.Plugin.Conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+objectStore+"/GetObject", grpc.ForceCodecV2(codec{}))
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(s.object(key)); err != nil {
		return nil, err
	}
	return &download{stream: stream}, stream.CloseSend()
}

type download struct {
	stream grpc.ClientStream
	rest   []byte
}

func (d *download) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		var m Message
		if err := d.stream.RecvMsg(&m); err != nil {
			return 0, err
		}
		d.rest = m.First(1)
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}
