package wire

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
)

// chunkSize is what the Velero server reads and sends at once.
const chunkSize = 16384

// Store calls an object store.
type Store struct {
	Conn   grpc.ClientConnInterface
	Name   string
	Bucket string
}

// In returns the store with another bucket.
func (s Store) In(bucket string) Store {
	s.Bucket = bucket
	return s
}

func (s Store) Init(ctx context.Context, config map[string]string) error {
	return s.call(ctx, "Init", &abi.InitRequest{Plugin: s.Name, Config: config}, &abi.Empty{})
}

func (s Store) Exists(ctx context.Context, key string) (bool, error) {
	out := &abi.ObjectExistsResponse{}
	err := s.call(ctx, "ObjectExists", s.object(key), out)
	return out.GetExists(), err
}

func (s Store) Delete(ctx context.Context, key string) error {
	return s.call(ctx, "DeleteObject", s.object(key), &abi.Empty{})
}

func (s Store) List(ctx context.Context, prefix string) ([]string, error) {
	out := &abi.ListObjectsResponse{}
	err := s.call(ctx, "ListObjects", &abi.ListObjectsRequest{Plugin: s.Name, Bucket: s.Bucket, Prefix: prefix}, out)
	return out.GetKeys(), err
}

func (s Store) Prefixes(ctx context.Context, prefix, delimiter string) ([]string, error) {
	out := &abi.ListCommonPrefixesResponse{}
	err := s.call(ctx, "ListCommonPrefixes", &abi.ListCommonPrefixesRequest{
		Plugin: s.Name, Bucket: s.Bucket, Prefix: prefix, Delimiter: delimiter}, out)
	return out.GetPrefixes(), err
}

func (s Store) SignedURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	out := &abi.CreateSignedURLResponse{}
	err := s.call(ctx, "CreateSignedURL", &abi.CreateSignedURLRequest{
		Plugin: s.Name, Bucket: s.Bucket, Key: key, Ttl: int64(ttl)}, out)
	return out.GetUrl(), err
}

// Put sends body as the Velero server does: in messages of 16 KiB, none for an
// empty body. Like the server it gives up when a message cannot be sent, and
// then does not learn why: the error is io.EOF.
func (s Store) Put(ctx context.Context, key string, body io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	up, err := s.Upload(ctx, key)
	if err != nil {
		return err
	}
	chunk := make([]byte, chunkSize)
	for {
		n, err := body.Read(chunk)
		if errors.Is(err, io.EOF) {
			return up.Commit()
		}
		if err != nil {
			return err
		}
		if err := up.Send(chunk[:n]); err != nil {
			return err
		}
	}
}

// Upload is an open PutObject. The end of its context interrupts it.
type Upload struct {
	store  Store
	key    string
	stream grpc.ClientStream
}

// Upload opens a PutObject and sends nothing yet.
func (s Store) Upload(ctx context.Context, key string) (*Upload, error) {
	stream, err := s.Conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, ObjectStore.method("PutObject"))
	return &Upload{s, key, stream}, err
}

// Send sends one message. It does not keep body.
func (u *Upload) Send(body []byte) error {
	return u.stream.SendMsg(&abi.PutObjectRequest{Plugin: u.store.Name, Bucket: u.store.Bucket, Key: u.key, Body: body})
}

// SendAll sends body in messages of 16 KiB.
func (u *Upload) SendAll(body io.Reader) error {
	_, err := io.CopyBuffer(writerFunc(func(p []byte) (int, error) {
		return len(p), u.Send(p)
	}), struct{ io.Reader }{body}, make([]byte, chunkSize))
	return err
}

// Commit ends the body and returns the plugin's answer.
func (u *Upload) Commit() error {
	if err := u.stream.CloseSend(); err != nil {
		return err
	}
	return u.stream.RecvMsg(&abi.Empty{})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Download is an open GetObject; it reads the object's bytes. The end of its
// context interrupts it.
type Download struct {
	stream grpc.ClientStream
	rest   []byte
}

// Get opens a GetObject. As on the Velero server, errors show when it is read.
func (s Store) Get(ctx context.Context, key string) (*Download, error) {
	stream, err := s.Conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, ObjectStore.method("GetObject"))
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(s.object(key)); err != nil {
		return nil, err
	}
	return &Download{stream: stream}, stream.CloseSend()
}

func (d *Download) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		var m abi.Bytes
		if err := d.stream.RecvMsg(&m); err != nil {
			return 0, err
		}
		d.rest = m.GetData()
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func (s Store) object(key string) *abi.ObjectRequest {
	return &abi.ObjectRequest{Plugin: s.Name, Bucket: s.Bucket, Key: key}
}

func (s Store) call(ctx context.Context, method string, in, out any) error {
	return s.Conn.Invoke(ctx, ObjectStore.method(method), in, out)
}
