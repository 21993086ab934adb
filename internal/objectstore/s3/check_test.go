package s3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
)

// runChecks returns what the steps found, by name, and the step that failed.
func runChecks(t *testing.T, config map[string]string) (found map[string]string, failed string, err error) {
	t.Helper()
	checks, err := s3.New(slog.New(slog.DiscardHandler)).Checks(t.Context(), sdk.ChecksInput{Config: config})
	if err != nil {
		return nil, "config", err
	}
	found = map[string]string{}
	for _, c := range checks {
		if found[c.Name], err = c.Run(t.Context()); err != nil {
			return found, c.Name, err
		}
	}
	return found, "", nil
}

func TestChecksPass(t *testing.T) {
	s := newScene(t, overTLS)
	found, failed, err := runChecks(t, s.config)
	if err != nil {
		t.Fatalf("%s: %v", failed, err)
	}
	for step, want := range map[string]string{
		"DNS": "127.0.0.1", "TLS": "issued by", "credentials": "keys in file", "region": "as configured", "bucket": s.bucket,
	} {
		if !strings.Contains(found[step], want) {
			t.Errorf("%s: %q, want %q", step, found[step], want)
		}
	}
	for step, text := range found {
		if strings.Contains(text, s.minio.SecretKey) {
			t.Errorf("%s tells the secret key", step)
		}
	}
}

// Each broken step is named, with its code.
func TestChecksFail(t *testing.T) {
	s := newScene(t, overTLS)
	plain := newScene(t, overHTTP)
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	closed := freeAddress(t)
	for name, c := range map[string]struct {
		config map[string]string
		step   string
		code   fault.Code
	}{
		"unknown host":     {s.with("s3Url", "https://store.invalid:9000"), "DNS", endpoint.CodeUnresolvable},
		"nobody listens":   {s.with("s3Url", "https://"+closed), "TLS", endpoint.CodeRefused},
		"untrusted":        {s.with("caCert", "-"), "TLS", endpoint.CodeUntrusted},
		"http for https":   {s.with("s3Url", strings.Replace(s.endpoint, "https", "http", 1)), "bucket", fault.Code{}},
		"https for http":   {plain.with("s3Url", strings.Replace(plain.endpoint, "http", "https", 1)), "TLS", endpoint.CodeNotTLS},
		"no certificate":   {s.with("caCert", "nonsense"), "config", endpoint.CodeCABundle},
		"no file":          {s.with("credentialsFile", "/absent"), "config", awsaccess.CodeCredentialsFile},
		"wrong access key": {s.with("credentialsFile", credentialsFile(t, "nobody", s.minio.SecretKey)), "bucket", awsaccess.CodeUnknownAccessKey},
		"wrong secret key": {s.with("credentialsFile", credentialsFile(t, s.minio.AccessKey, "wrong-secret")), "bucket", awsaccess.CodeWrongSecretKey},
		"wrong bucket":     {s.with("bucket", "no-such-bucket-here"), "bucket", s3.CodeNoSuchBucket},
		"wrong region":     {s.with("region", "eu-west-1"), "bucket", s3.CodeWrongRegion},
	} {
		t.Run(name, func(t *testing.T) {
			found, step, err := runChecks(t, c.config)
			if step != c.step || c.code.ID != "" && !errors.Is(err, c.code) {
				t.Errorf("step %q failed with %v; found %v", step, err, found)
			}
			if err != nil && strings.Contains(err.Error(), s.minio.SecretKey) {
				t.Error("the error tells the secret key")
			}
		})
	}
	t.Run("not verified", func(t *testing.T) {
		found, step, err := runChecks(t, s.with("caCert", "-", "insecureSkipTLSVerify", "true"))
		if err != nil || !strings.Contains(found["TLS"], "insecureSkipTLSVerify") {
			t.Errorf("%s: %v, %v", step, err, found)
		}
	})
}

// Every permission that is missing is named, by the server or by what helps.
func TestChecksPermissions(t *testing.T) {
	const user = "User: arn:aws:sts::123456789012:assumed-role/velero/x is not authorized to perform: "
	header := func(name string) s3proxy.Match {
		return func(r s3proxy.Request) bool { return r.Header.Get(name) != "" }
	}
	for name, c := range map[string]struct {
		changes []string
		denied  map[string]s3proxy.Match // by message
		code    fault.Code
		want    string // of the fix
		left    string
	}{
		"tags, named": {
			[]string{"tagging", "a=b"}, map[string]s3proxy.Match{user + "s3:PutObjectTagging on resource: x": header("X-Amz-Tagging")},
			s3.CodeAccessDenied, "allow s3:PutObjectTagging ", "",
		},
		"tags": {
			[]string{"tagging", "a=b"}, map[string]s3proxy.Match{"Access Denied": header("X-Amz-Tagging")},
			s3.CodeAccessDenied, "allow s3:PutObjectTagging ", "",
		},
		"ACL": {
			[]string{"acl", "private"}, map[string]s3proxy.Match{"Access Denied": header("X-Amz-Acl")},
			s3.CodeAccessDenied, "allow s3:PutObjectAcl ", "",
		},
		"tags and ACL": {
			[]string{"tagging", "a=b", "acl", "private"},
			map[string]s3proxy.Match{"Access Denied": func(r s3proxy.Request) bool {
				return r.Header.Get("X-Amz-Acl") != "" || r.Header.Get("X-Amz-Tagging") != ""
			}},
			s3.CodeAccessDenied, "allow s3:PutObjectTagging, s3:PutObjectAcl ", "",
		},
		"KMS key": {
			nil, map[string]s3proxy.Match{user + "kms:GenerateDataKey on resource: arn:aws:kms:eu-west-1:123456789012:key/k": s3proxy.Operations("PutObject")},
			s3.CodeKMS, "allow kms:GenerateDataKey ", "",
		},
		"KMS key to read": {
			nil, map[string]s3proxy.Match{user + "kms:Decrypt on resource: arn:aws:kms:eu-west-1:123456789012:key/k": s3proxy.Operations("CompleteMultipartUpload", "GetObject")},
			s3.CodeKMS, "allow kms:Decrypt ", "",
		},
		"deletion": {
			nil, map[string]s3proxy.Match{"Access Denied": s3proxy.Operations("DeleteObject")},
			s3.CodeAccessDenied, "allow s3:DeleteObject ", "left behind: plugins/check-",
		},
		"several": {
			nil, map[string]s3proxy.Match{"Access Denied": s3proxy.Operations("AbortMultipartUpload", "GetObject")},
			s3.CodeAccessDenied, "allow s3:AbortMultipartUpload, s3:GetObject ", "left behind: a multipart upload of plugins/check-",
		},
		"everything": {
			nil, map[string]s3proxy.Match{"Access Denied": s3proxy.Operations("PutObject", "GetObject", "DeleteObject")},
			s3.CodeAccessDenied, "allow s3:PutObject, s3:GetObject, s3:DeleteObject ", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, overHTTP)
			p := s.behind()
			for message, when := range c.denied {
				p.Inject(inject.Always, when, s3proxy.Answer(http.StatusForbidden, "AccessDenied", message))
			}
			found, step, err := runChecks(t, s.with(c.changes...))
			if step != "permissions" || !errors.Is(err, c.code) {
				t.Fatalf("step %q failed with %v; found %v", step, err, found)
			}
			_, fix, _ := strings.Cut(err.Error(), "; fix: ")
			if !strings.HasPrefix(fix, c.want) || strings.Contains(err.Error(), "left behind") != (c.left != "") || !strings.Contains(err.Error(), c.left) {
				t.Errorf("error: %v", err)
			}
		})
	}
	t.Run("nothing is left", func(t *testing.T) {
		s := newScene(t, overHTTP)
		if _, step, err := runChecks(t, s.with("prefix", "p")); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		for o := range s.client.ListObjectsIter(t.Context(), s.bucket, minio.ListObjectsOptions{Recursive: true}) {
			t.Errorf("left: %s, %v", o.Key, o.Err)
		}
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The same faults in the course of work.
func TestErrors(t *testing.T) {
	s := newScene(t, overTLS)
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	for name, c := range map[string]struct {
		changes []string
		want    fault.Code
		text    string
	}{
		"nobody listens":   {[]string{"s3Url", "https://" + freeAddress(t)}, endpoint.CodeRefused, "connection refused"},
		"unknown host":     {[]string{"s3Url", "https://store.invalid"}, endpoint.CodeUnresolvable, "store.invalid"},
		"untrusted":        {[]string{"caCert", "-"}, endpoint.CodeUntrusted, "caCert"},
		"wrong access key": {[]string{"credentialsFile", credentialsFile(t, "nobody", "x")}, awsaccess.CodeUnknownAccessKey, "aws_access_key_id"},
		"wrong secret key": {[]string{"credentialsFile", credentialsFile(t, s.minio.AccessKey, "x")}, awsaccess.CodeWrongSecretKey, "SignatureDoesNotMatch"},
		"wrong region":     {[]string{"region", "eu-west-1"}, s3.CodeWrongRegion, "minio"},
	} {
		t.Run(name, func(t *testing.T) {
			store := s.store(c.changes...)
			_, err := store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: s.bucket, Delimiter: "/"})
			if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "error listing common prefixes of "+s.bucket) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("list: %v", err)
			}
			_, err = store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: strings.NewReader("x")})
			if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "error putting object k: ") {
				t.Errorf("put: %v", err)
			}
			if strings.Contains(err.Error(), s.minio.SecretKey) {
				t.Error("the error tells the secret key")
			}
		})
	}
	for name, c := range map[string]struct {
		operation string
		fault     inject.Fault
		changes   []string
		want      fault.Code
		text      string
	}{
		"tagging not allowed": {
			"PutObject", s3proxy.Answer(403, "AccessDenied", "Access Denied"), []string{"tagging", "a=b"}, s3.CodeAccessDenied, "s3:PutObjectTagging",
		},
		"KMS not allowed": {
			"PutObject", s3proxy.Answer(403, "AccessDenied", "User: x is not authorized to perform: kms:GenerateDataKey"), nil, s3.CodeKMS, "kms:Decrypt",
		},
		"clock": {"PutObject", s3proxy.Answer(403, "RequestTimeTooSkewed", "The difference is too large."), nil, endpoint.CodeClock, "clock"},
		"quota": {"PutObject", s3proxy.Answer(403, "QuotaExceeded", "Quota exceeded"), nil, s3.CodeStorageFull, "quota"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, overHTTP)
			p := s.behind()
			p.Inject(inject.Always, s3proxy.Operations(c.operation), c.fault)
			_, err := s.store(c.changes...).PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: strings.NewReader("x")})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error: %v", err)
			}
		})
	}
	t.Run("archived", func(t *testing.T) {
		s := newScene(t, overHTTP)
		p := s.behind()
		p.Inject(inject.Always, s3proxy.Operations("GetObject"), s3proxy.Answer(403, "InvalidObjectState", "The operation is not valid for the object's storage class"))
		if _, err := read(t, s.store(), s.bucket, "k"); !errors.Is(err, s3.CodeArchived) {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("forbidden existence", func(t *testing.T) {
		s := newScene(t, overHTTP)
		p := s.behind()
		p.Inject(inject.Always, s3proxy.Operations("HeadObject"), s3proxy.Answer(403, "", ""))
		if _, err := s.store().ObjectExists(t.Context(), sdk.ObjectExistsInput{Bucket: s.bucket, Key: "k"}); !errors.Is(err, s3.CodeAccessDenied) || !strings.Contains(err.Error(), "s3:ListBucket") {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("before Init", func(t *testing.T) {
		if _, err := s3.New(slog.New(slog.DiscardHandler)).DeleteObject(t.Context(), sdk.DeleteObjectInput{Bucket: "b", Key: "k"}); !errors.Is(err, s3.CodeNotReady) {
			t.Errorf("error: %v", err)
		}
	})
}

// The region of a bucket in AWS is asked for once, without credentials.
func TestRegionDiscovery(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		region string
		env    string
		want   string
		code   fault.Code
	}{
		"own":       {200, "us-east-1", "", "us-east-1", fault.Code{}},
		"elsewhere": {301, "eu-central-1", "", "eu-central-1", fault.Code{}},
		"forbidden": {403, "eu-west-2", "", "eu-west-2", fault.Code{}},
		"China":     {403, "cn-north-1", "cn-northwest-1", "cn-north-1", fault.Code{}},
		"absent":    {404, "", "", "", s3.CodeNoSuchBucket},
		"silent":    {403, "", "", "", s3.CodeRegionUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			t.Setenv("AWS_REGION", c.env)
			var heads, lists []*http.Request
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					heads = append(heads, r)
					if c.region != "" {
						w.Header().Set("X-Amz-Bucket-Region", c.region)
					}
					w.WriteHeader(c.status)
					return
				}
				lists = append(lists, r)
				io.WriteString(w, `<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`)
			}))
			defer server.Close()
			t.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
			store := s3.New(slog.New(slog.DiscardHandler))
			config := map[string]string{
				"bucket": "some.bucket", "prefix": "", "s3ForcePathStyle": "true", "credentialsFile": credentialsFile(t, "A", "secret-of-A"),
			}
			_, err := store.Init(t.Context(), sdk.InitInput{Config: config})
			if c.code.ID != "" {
				if !errors.Is(err, c.code) || !strings.Contains(err.Error(), "some.bucket") {
					t.Errorf("error: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			config["multipartConcurrency"] = "3"
			if _, err := store.Init(t.Context(), sdk.InitInput{Config: config}); err != nil {
				t.Fatal(err)
			}
			if _, err := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: "some.bucket"}); err != nil {
				t.Fatal(err)
			}
			if len(heads) != 1 || heads[0].Header.Get("Authorization") != "" {
				t.Errorf("%d requests for the region", len(heads))
			}
			if scope := lists[0].Header.Get("Authorization"); !strings.Contains(scope, "/"+c.want+"/s3/") {
				t.Errorf("signed for %s, want %s", scope, c.want)
			}
		})
	}
}

// Certificates of the location, of AWS_CA_BUNDLE and of the system are all
// trusted.
func TestTrust(t *testing.T) {
	s := newScene(t, overTLS)
	list := func(config map[string]string) error {
		store := s3.New(slog.New(slog.DiscardHandler))
		if _, err := store.Init(t.Context(), sdk.InitInput{Config: config}); err != nil {
			return err
		}
		_, err := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: s.bucket})
		return err
	}
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	otherCA := string(s.behind().CAPEM)
	s.config["s3Url"] = s.endpoint

	t.Setenv("AWS_CA_BUNDLE", file(t, "bundle.pem", string(s.minio.CAPEM)))
	for _, caCert := range []string{"-", "", otherCA} {
		if err := list(s.with("caCert", caCert)); err != nil {
			t.Errorf("with the bundle and %.30q: %v", caCert, err)
		}
	}
	t.Setenv("AWS_CA_BUNDLE", file(t, "bundle.pem", otherCA))
	if err := list(s.with("caCert", string(s.minio.CAPEM))); err != nil {
		t.Errorf("with caCert: %v", err)
	}
	if err := list(s.with("caCert", "-")); !errors.Is(err, endpoint.CodeUntrusted) {
		t.Errorf("with another bundle: %v", err)
	}
	for _, path := range []string{"/absent.pem", file(t, "empty.pem", "")} {
		t.Setenv("AWS_CA_BUNDLE", path)
		if err := list(s.config); !errors.Is(err, endpoint.CodeCABundle) || !strings.Contains(err.Error(), path) {
			t.Errorf("bundle %s: %v", path, err)
		}
	}
}

func newStore(t *testing.T, config map[string]string) *s3.Store {
	t.Helper()
	store := s3.New(slog.New(slog.DiscardHandler))
	if _, err := store.Init(t.Context(), sdk.InitInput{Config: config}); err != nil {
		t.Fatalf("Init: %v", err)
	}
	return store
}

// The proxy variables are obeyed, and a broken proxy is named.
func TestProxy(t *testing.T) {
	bare(t)
	var through []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through = append(through, r.URL.String())
		io.WriteString(w, `<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	config := map[string]string{
		"bucket": "b", "prefix": "", "s3Url": "http://store.invalid", "s3ForcePathStyle": "true", "credentialsFile": credentialsFile(t, "A", "B"),
	}
	if _, err := newStore(t, config).ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: "b"}); err != nil {
		t.Fatal(err)
	}
	if len(through) != 1 || !strings.HasPrefix(through[0], "http://store.invalid/b?") {
		t.Errorf("through the proxy went %v", through)
	}

	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	t.Setenv("HTTPS_PROXY", "http://"+freeAddress(t))
	config["s3Url"] = "https://store.invalid"
	if _, err := newStore(t, config).ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: "b"}); !errors.Is(err, endpoint.CodeProxy) {
		t.Errorf("broken proxy: %v", err)
	}
	if _, step, err := runChecks(t, config); step != "TLS" || !errors.Is(err, endpoint.CodeProxy) {
		t.Errorf("check of a broken proxy: %s, %v", step, err)
	}
}

// The SSE-C key comes from a secret, by the pod's service account or by a
// kubeconfig.
func TestCustomerKeySecret(t *testing.T) {
	s := newScene(t, overTLS)
	key := strings.Repeat("s", 32)
	var asked []string
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.Header.Get("Authorization") != "Bearer the-token" {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"message":"Unauthorized"}`)
			return
		}
		switch r.URL.Path {
		case "/api/v1/namespaces/velero/secrets/keys":
			io.WriteString(w, `{"data":{"good":"c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M=","short":"c3M="}}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"message":"secrets \"absent\" not found"}`)
		}
	}))
	api.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	api.StartTLS()
	defer api.Close()
	config := func(token string) string {
		return file(t, "kubeconfig", fmt.Sprintf(`
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: %s, insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: %s}}]
`, api.URL, token))
	}
	t.Setenv("VELERO_NAMESPACE", "velero")
	t.Setenv("KUBECONFIG", config("the-token"))
	store := s.store("customerKeyEncryptionSecret", "keys/good")
	if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	same := s.store("customerKeyEncryptionFile", file(t, "key", key))
	if got, err := read(t, same, s.bucket, "k"); err != nil || string(got) != "x" {
		t.Errorf("with the same key from a file: %q, %v", got, err)
	}
	// The same configuration again asks nobody.
	before := len(asked)
	if _, err := store.Init(t.Context(), sdk.InitInput{Config: s.with("customerKeyEncryptionSecret", "keys/good")}); err != nil || len(asked) != before {
		t.Errorf("Init again: %v, %d requests", err, len(asked)-before)
	}
	for ref, want := range map[string]string{
		"keys/short": "2 bytes", "keys/none": "no key none", "absent/k": `secrets "absent" missing`,
	} {
		_, err := s3.New(slog.New(slog.DiscardHandler)).Init(context.Background(), sdk.InitInput{Config: s.with("customerKeyEncryptionSecret", ref)})
		if !errors.Is(err, s3.CodeCustomerKey) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	t.Setenv("KUBECONFIG", config("wrong"))
	_, err := s3.New(slog.New(slog.DiscardHandler)).Init(t.Context(), sdk.InitInput{Config: s.with("customerKeyEncryptionSecret", "keys/good")})
	if !errors.Is(err, s3.CodeCustomerKey) || !strings.Contains(err.Error(), "Unauthorized") {
		t.Errorf("wrong token: %v", err)
	}
	os.Unsetenv("KUBECONFIG")
	_, err = s3.New(slog.New(slog.DiscardHandler)).Init(t.Context(), sdk.InitInput{Config: s.with("customerKeyEncryptionSecret", "keys/good")})
	if !errors.Is(err, s3.CodeCustomerKey) || !strings.Contains(err.Error(), "not in a cluster") {
		t.Errorf("outside of a cluster: %v", err)
	}
}
