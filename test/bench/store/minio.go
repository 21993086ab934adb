package main

//lint:file-ignore SA1019 the objects that are read are to be cut as the plugins in use today cut them, by the deprecated uploader.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"
)

const (
	accessKey = "minioadmin"
	secretKey = "minioadmin123"
	region    = "us-east-1"
)

// minIO is a server of our own with one bucket. It implements server.
type minIO struct {
	scheme string // http or https
	addr   string // host:port
	caCert []byte // PEM; nil for http
	http   *http.Client
	client *s3.Client
	exit   <-chan error
	pid    int
}

// startMinIO keeps its data in a folder below dir.
func startMinIO(ctx context.Context, binary, dir string, secure bool) (server, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &minIO{scheme: "http", addr: addr, http: http.DefaultClient}
	certificates := filepath.Join(dir, "certs")
	if secure {
		if s.caCert, err = writeCertificate(certificates); err != nil {
			return nil, err
		}
		s.scheme = "https"
		s.http = trusting(s.caCert)
	}
	log, err := os.Create(filepath.Join(dir, "minio.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(binary, "server", "--quiet", "--certs-dir", certificates, "--address", addr, filepath.Join(dir, "minio"))
	command.Env = append(os.Environ(), "MINIO_ROOT_USER="+accessKey, "MINIO_ROOT_PASSWORD="+secretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off")
	command.Stdout, command.Stderr = log, log
	if s.exit, err = startTied(command); err != nil {
		return nil, fmt.Errorf("MinIO: %w", err)
	}
	s.pid = command.Process.Pid
	s.client = s3.New(s3.Options{
		BaseEndpoint: aws.String(s.scheme + "://" + addr),
		UsePathStyle: true,
		Region:       region,
		HTTPClient:   s.http,
		Credentials:  credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, err
	}
	if _, err := s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucketName)}); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// startTied starts a process that does not outlive this one, however this one
// ends. The kernel ties it to the thread that started it, so that thread waits
// for it to end and does nothing else. The channel receives what Wait returns.
func startTied(command *exec.Cmd) (exit <-chan error, err error) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			ended <- command.Wait()
		}
	}()
	return ended, <-started
}

func (s *minIO) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.scheme+"://"+s.addr+"/minio/health/ready", nil)
		if err != nil {
			return err
		}
		response, err := s.http.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-s.exit:
			return fmt.Errorf("MinIO ended before it was ready: %v", err)
		case <-ctx.Done():
			return fmt.Errorf("MinIO is not ready at %s: %w", s.addr, ctx.Err())
		case <-poll.C:
		}
	}
}

func (s *minIO) address() string { return s.addr }

func (s *minIO) stop() {
	syscall.Kill(s.pid, syscall.SIGTERM)
	select {
	case <-s.exit:
	case <-time.After(5 * time.Second):
		syscall.Kill(s.pid, syscall.SIGKILL)
		<-s.exit
	}
}

func (s *minIO) seed(ctx context.Context, body content, sizes []int64, keys int) error {
	uploader := manager.NewUploader(s.client)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, size := range sizes {
		group.Go(func() error { return s.upload(ctx, uploader, readKey(size), body, size) })
	}
	for i := range keys {
		key := fmt.Sprintf("%sbackups/backup-%03d/object-%05d.json.gz", listPrefix, i/50, i)
		group.Go(func() error { return s.upload(ctx, uploader, key, body, 1) })
	}
	return group.Wait()
}

func (s *minIO) upload(ctx context.Context, uploader *manager.Uploader, key string, body content, size int64) error {
	_, err := uploader.Upload(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucketName),
		Key:    aws.String(key),
		Body:   body.reader(size),
	})
	return err
}

func (s *minIO) location(addr, credentialsFile string) map[string]string {
	location := map[string]string{
		"bucket":           bucketName,
		"prefix":           "",
		"region":           region,
		"s3Url":            s.scheme + "://" + addr,
		"s3ForcePathStyle": "true",
		"credentialsFile":  credentialsFile,
	}
	if s.caCert != nil {
		location["caCert"] = string(s.caCert)
	}
	return location
}

// trusting returns a client that trusts nobody but the holder of certificate.
func trusting(certificate []byte) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func writeAWSCredentials(dir string) (file string, err error) {
	file = filepath.Join(dir, "credentials")
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", accessKey, secretKey)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
