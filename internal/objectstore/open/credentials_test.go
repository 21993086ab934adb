package open_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/open"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// account is an AWS account that has the bucket of a scene: its IAM decides who a
// request is from, and MinIO answers it.
type account struct {
	*awsfake.Cloud
	*scene
	user  awsfake.Keys
	token string // path of a service account's token
}

const (
	accountRegion = "us-east-1"
	subject       = "system:serviceaccount:openshift-adp:velero"
)

// shortSession is the life of the sessions of role reader, whose end tests wait for.
const shortSession = 2 * time.Second

// newAccount has a user, the role backup for the user, and the role reader for a
// service account's token.
func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{Cloud: awsfake.New(accountRegion), scene: newScene(t, overHTTP)}
	a.user = a.AddUser("velero")
	a.AddRole(awsfake.Role{Name: "reader", Subject: subject, Duration: shortSession})
	a.AddRole(awsfake.Role{Name: "backup", Principals: []string{a.user.ARN}})
	a.Trust("first", subject)
	a.token = file(t, "token", "first")
	t.Setenv(credpolicy.TokenFilesVariable, a.token)
	t.Setenv("AWS_ENDPOINT_URL_STS", fakecloud.Serve(t, a.STS()))
	target, err := url.Parse(a.minio.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	keys := awsfake.Keys{AccessKeyID: a.minio.AccessKey, SecretAccessKey: a.minio.SecretKey}
	a.config["s3Url"], a.config["region"] = fakecloud.Serve(t, a.S3(target, keys, stack.Region)), accountRegion
	delete(a.secrets, "oadp-default-aws-registry-secret")
	return a
}

// fill replaces KEYS, ID, SECRET, ROLE(name) and TOKEN.
func (a *account) fill(text string) string {
	text = strings.NewReplacer("ROLE(reader)", roleARN("reader"), "ROLE(backup)", roleARN("backup"), "TOKEN", a.token).Replace(text)
	return strings.NewReplacer("KEYS", keys(a.user.AccessKeyID, a.user.SecretAccessKey), "ID()", a.user.AccessKeyID, "SECRET()", a.user.SecretAccessKey).Replace(text)
}

func roleARN(name string) string { return "arn:aws:iam::" + awsfake.Account + ":role/" + name }

// caller returns who sent the last request that S3 took, without the account.
func (a *account) caller() string {
	for _, call := range slices.Backward(a.Calls("")) {
		if call.Service == "s3" && call.ARN != "" {
			_, name, _ := strings.Cut(call.ARN, awsfake.Account+":")
			return name
		}
	}
	return "nobody"
}

// The credential that was found sends the requests, whatever its form. Nothing of
// it is left on disk, in the environment or in open files.
func TestCredentials(t *testing.T) {
	const webIdentity = "[default]\nrole_arn = ROLE(reader)\nweb_identity_token_file = TOKEN\n"
	for name, c := range map[string]struct {
		registry bool   // the registry secret has the keys
		secret   string // of the location
		mounted  string // file of the environment
		config   string // file of config key credentialsFile
		profile  string
		env      map[string]string
		source   registrysecret.Source
		want     string // who sends the requests
	}{
		"registry secret": {registry: true, source: registrysecret.RegistrySecret, want: "user/velero"},
		"registry secret, with a profile of another place": {
			registry: true, profile: "other", env: map[string]string{"AWS_PROFILE": "third"}, source: registrysecret.RegistrySecret, want: "user/velero",
		},
		"secret with keys":                 {secret: "[default]\nKEYS", source: registrysecret.LocationCredential, want: "user/velero"},
		"before keys of the environment":   {secret: "[default]\nKEYS", env: map[string]string{"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}, source: registrysecret.LocationCredential, want: "user/velero"},
		"secret with a profile":            {secret: "[default]\n" + keys("x", "y") + "[profile p]\nKEYS", profile: "p", source: registrysecret.LocationCredential, want: "user/velero"},
		"secret as Windows writes it":      {secret: "\ufeff\r\n[ p ]\r\naws_access_key_id=\"ID()\"\r\naws_secret_access_key = 'SECRET()'\r\n", profile: "p", source: registrysecret.LocationCredential, want: "user/velero"},
		"secret with a web identity":       {secret: webIdentity, source: registrysecret.LocationCredential, want: "assumed-role/reader"},
		"secret with a source profile":     {secret: "[default]\nrole_arn = ROLE(backup)\nsource_profile = base\n[base]\nKEYS", source: registrysecret.LocationCredential, want: "assumed-role/backup"},
		"mounted file":                     {mounted: "[default]\nKEYS", source: registrysecret.Mounted, want: "user/velero"},
		"mounted file with a web identity": {mounted: webIdentity, source: registrysecret.Mounted, want: "assumed-role/reader"},
		"file of the config":               {config: "[default]\nKEYS", mounted: "[default]\n" + keys("x", "y"), source: registrysecret.Mounted, want: "user/velero"},
		"keys of the environment":          {env: map[string]string{"AWS_ACCESS_KEY_ID": "ID()", "AWS_SECRET_ACCESS_KEY": "SECRET()"}, profile: "of no file", source: registrysecret.Mounted, want: "user/velero"},
		"web identity of the environment":  {env: map[string]string{"AWS_ROLE_ARN": "ROLE(reader)", "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}, source: registrysecret.Mounted, want: "assumed-role/reader"},
		"pod identity": {
			env:    map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "POD", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "TOKEN"},
			source: registrysecret.Ambient, want: "assumed-role/pod",
		},
		"role of the machine": {
			env:    map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "MACHINE"},
			source: registrysecret.Ambient, want: "assumed-role/node",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t)
			temporary := t.TempDir()
			t.Setenv("TMPDIR", temporary)
			if c.registry {
				a.secrets["oadp-default-aws-registry-secret"] = map[string][]byte{
					"access_key": []byte(a.user.AccessKeyID + "\n"), "secret_key": []byte(a.user.SecretAccessKey),
				}
			}
			if c.secret != "" {
				a.secrets["mine"], a.credential = map[string][]byte{"cloud": []byte(a.fill(c.secret))}, "cloud"
			}
			if c.mounted != "" {
				t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file(t, "cloud", a.fill(c.mounted)))
			}
			if c.config != "" {
				a.config["credentialsFile"] = file(t, "cloud", a.fill(c.config))
			}
			if c.profile != "" {
				a.config["profile"] = c.profile
			}
			services := strings.NewReplacer(
				"POD", fakecloud.Serve(t, a.PodIdentity(awsfake.Role{Name: "pod"}, func() string { return "first" }))+"/v1/credentials",
				"MACHINE", fakecloud.Serve(t, a.Machine(awsfake.Role{Name: "node"})))
			for variable, value := range c.env {
				t.Setenv(variable, services.Replace(a.fill(value)))
			}
			before := os.Environ()

			found, err := a.find()
			if err != nil {
				t.Fatal(err)
			}
			if found.Source != c.source {
				t.Errorf("found in %s", found.Source)
			}
			b := a.mustOpen()
			if err := b.Put(t.Context(), "k", strings.NewReader("x")); err != nil {
				t.Fatal(err)
			}
			if got, err := get(t.Context(), b, "k"); err != nil || string(got) != "x" {
				t.Errorf("%q, %v", got, err)
			}
			if got := a.caller(); !strings.HasPrefix(got, c.want) {
				t.Errorf("the requests are of %s, want %s", got, c.want)
			}
			if !slices.Equal(os.Environ(), before) {
				t.Error("the environment changed")
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("left in the temporary directory: %v, %v", left, err)
			}
			noCredentialsOpen(t)
		})
	}
}

// noCredentialsOpen fails when a credentials file in memory is open.
func noCredentialsOpen(t *testing.T) {
	t.Helper()
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(open) == 0 {
		t.Fatalf("open files: %v, %v", open, err)
	}
	for _, path := range open {
		if target, _ := os.Readlink(path); strings.Contains(target, "credentials") {
			t.Errorf("%s is open", target)
		}
	}
}

// A bucket outlives its session and the token with which it began.
func TestRenewal(t *testing.T) {
	a := newAccount(t)
	a.only(a.fill("[default]\nrole_arn = ROLE(reader)\nweb_identity_token_file = TOKEN\n"))
	b := a.mustOpen()
	if err := b.Put(t.Context(), "k", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	ends := time.Now().Add(shortSession)
	a.Expire("first")
	a.Trust("second", subject)
	if err := os.WriteFile(a.token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(ends))
	body := random(11 * mib)
	if err := b.Put(t.Context(), "k", stream(body)); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t.Context(), b, "k"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	a.Expire("second")
	time.Sleep(shortSession)
	err := b.Put(t.Context(), "k", strings.NewReader("x"))
	if !errors.Is(err, awsaccess.CodeWebIdentity) || !strings.Contains(err.Error(), "profile default of secret openshift-adp/mine, key cloud") || !strings.Contains(err.Error(), a.token) {
		t.Errorf("error: %v", err)
	}
}

// What is wrong with a credential is said with the place that it is from, and
// without the credential.
func TestUselessCredentials(t *testing.T) {
	const secret = "HIDE+HIDE"
	a := newAccount(t)
	session := a.fill("[default]\nKEYS") + "aws_session_token = HIDE+token\n"
	for name, c := range map[string]struct {
		registry map[string][]byte
		secret   string
		code     fault.Code
		says     []string
	}{
		"unknown key in the registry secret": {
			registry: map[string][]byte{"access_key": []byte("nobody"), "secret_key": []byte(secret)},
			code:     awsaccess.CodeUnknownAccessKey, says: []string{"secret openshift-adp/oadp-default-aws-registry-secret", "HTTP 403"},
		},
		"wrong secret key": {
			secret: a.fill("[default]\n" + keys("ID()", secret)), code: awsaccess.CodeWrongSecretKey,
			says: []string{"secret openshift-adp/mine, key cloud", "aws_secret_access_key"},
		},
		"session token of nobody": {secret: session, code: awsaccess.CodeUnknownAccessKey, says: []string{"secret openshift-adp/mine, key cloud"}},
		"source profile missing": {
			secret: "[default]\nrole_arn = " + roleARN("backup") + "\nsource_profile = base\n", code: awsaccess.CodeCredentialsFile,
			says: []string{"profile default of secret openshift-adp/mine, key cloud", "the file has [default]"},
		},
		"role refused": {
			secret: a.fill("[default]\nrole_arn = ROLE(backup)\nweb_identity_token_file = TOKEN\n"), code: awsaccess.CodeRoleRefused,
			says: []string{"profile default of secret openshift-adp/mine, key cloud", roleARN("backup"), a.token},
		},
	} {
		t.Run(name, func(t *testing.T) {
			delete(a.secrets, "oadp-default-aws-registry-secret")
			a.credential = ""
			if c.registry != nil {
				a.secrets["oadp-default-aws-registry-secret"] = c.registry
			} else {
				a.only(c.secret)
			}
			b, err := a.open()
			if err == nil {
				defer b.Close()
				err = b.Put(t.Context(), "docker/k", strings.NewReader("x"))
			}
			if !errors.Is(err, c.code) {
				t.Fatalf("error: %v", err)
			}
			for _, words := range append(c.says, a.bucket, "openshift-adp/default", "; fix: ") {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q is not in: %v", words, err)
				}
			}
			for _, hidden := range []string{"HIDE", a.user.SecretAccessKey, "/proc/", "operation error"} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("%q is in: %v", hidden, err)
				}
			}
		})
	}
	noCredentialsOpen(t)
}

// What the server answers in the course of work is told with what the location
// has to do with it.
func TestAnswers(t *testing.T) {
	s := newScene(t, overHTTP)
	p := s3proxy.New(t, s.minio.Endpoint, s.minio.Transport())
	s.config["s3Url"] = p.URL
	b := s.mustOpen()
	for name, c := range map[string]struct {
		fault inject.Fault
		codes []fault.Code
		says  []string
	}{
		// Images lie outside of the location's prefix, to which a policy may be limited.
		"denied":  {s3proxy.Answer(403, "AccessDenied", "Access Denied."), []fault.Code{s3.CodeAccessDenied, registrysecret.BucketFailed}, []string{"HTTP 403", "the whole bucket"}},
		"expired": {s3proxy.ExpiredToken(), []fault.Code{awsaccess.CodeExpiredToken}, []string{"HTTP 400", "renew the credentials"}},
		"full":    {s3proxy.Answer(507, "XMinioStorageFull", "no space"), []fault.Code{s3.CodeStorageFull}, []string{"HTTP 507"}},
	} {
		t.Run(name, func(t *testing.T) {
			p.Reset()
			p.Inject(inject.Always, s3proxy.Operations("PutObject", "GetObject", "DeleteObject", "HeadObject", "ListObjectsV2"), c.fault)
			_, statErr := b.Stat(t.Context(), "docker/k")
			_, getErr := get(t.Context(), b, "docker/k")
			var listErr error
			for _, listErr = range b.List(t.Context(), "docker/k") {
			}
			for call, err := range map[string]error{
				"Put": b.Put(t.Context(), "docker/k", strings.NewReader("x")), "Get": getErr, "Delete": b.Delete(t.Context(), "docker/k"), "List": listErr, "Stat": statErr,
			} {
				for _, code := range c.codes {
					// The answer to a HEAD request has no code in it.
					if !errors.Is(err, code) && (call != "Stat" || err == nil) {
						t.Errorf("%s: not %s: %v", call, code.ID, err)
					}
				}
				if err == nil {
					continue
				}
				for _, words := range append(c.says, s.bucket, "docker/k", "openshift-adp/default", "secret openshift-adp/oadp-default-aws-registry-secret", "request id") {
					if !strings.Contains(err.Error(), words) && call != "Stat" {
						t.Errorf("%s: %q is not in: %v", call, words, err)
					}
				}
				if errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), s.minio.SecretKey) {
					t.Errorf("%s: %v", call, err)
				}
			}
		})
	}
}

// Without any credential the finder's one error also tells what the search for an
// identity of the process came to.
func TestNoIdentity(t *testing.T) {
	a := newAccount(t)
	_, err := a.find()
	if !errors.Is(err, registrysecret.NoCredential) || !strings.Contains(err.Error(), "ambient identity: the pod and its node have no identity at the provider: error getting credentials") {
		t.Errorf("error: %v", err)
	}
}

// A region that nobody tells is an error that says where to write it.
func TestUnknownRegion(t *testing.T) {
	s := newScene(t, overHTTP)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
	delete(s.config, "s3Url")
	delete(s.config, "region")
	_, err := s.open()
	if !errors.Is(err, registrysecret.RegionMissing) || !strings.Contains(err.Error(), s.bucket) || !strings.Contains(err.Error(), "set config key region of backup storage location openshift-adp/default") {
		t.Errorf("error: %v", err)
	}
}

// Locations of the other providers are told apart from mistakes.
func TestOtherProviders(t *testing.T) {
	s := newScene(t, overHTTP)
	for provider, secret := range map[string]string{"gcp": `{"type":"service_account","client_email":"e","private_key":"HIDE"}`, "velero.io/gcp": `{"type":"service_account","client_email":"e","private_key":"HIDE"}`} {
		s.provider = provider
		s.only(secret)
		found, err := s.find()
		if err != nil {
			t.Fatal(err)
		}
		_, err = open.Bucket(t.Context(), found, nil)
		var f *fault.Error
		if !errors.Is(err, registrysecret.UnsupportedProvider) || !errors.As(err, &f) || f.Fix == "" {
			t.Fatalf("error: %v", err)
		}
		for _, words := range []string{"openshift-adp/default", fmt.Sprintf("%q", provider), "this version", "provider aws or azure", "spec.backupImages", "openshift.io/skip-image-copy=true"} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%q is not in: %v", words, err)
			}
		}
		if strings.Contains(err.Error(), "HIDE") || open.Ambient(t.Context(), found.Location) == nil {
			t.Errorf("error: %v", err)
		}
	}
}
