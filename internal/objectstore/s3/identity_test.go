package s3_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// bare empties the environment of everything that could give credentials.
func bare(t *testing.T) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE",
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL",
	} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// Whoever is configured sends the requests. Files and variables are filled in by
// account.fill.
func TestIdentities(t *testing.T) {
	const (
		webIdentity = "role_arn = ROLE(reader)\nweb_identity_token_file = TOKEN\n"
		chained     = "role_arn = ROLE(writer)\nrole_session_name = velero\nsource_profile = base\n"
		assumed     = "role_arn = ROLE(backup)\nexternal_id = the-id\n"
	)
	irsa := map[string]string{"AWS_ROLE_ARN": "ROLE(reader)", "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}
	envKeys := map[string]string{"AWS_ACCESS_KEY_ID": "ID(env)", "AWS_SECRET_ACCESS_KEY": "SECRET(env)"}
	for name, c := range map[string]struct {
		file    string // the location's credentials file
		profile string // of the location
		env     map[string]string
		shared  string // file of AWS_SHARED_CREDENTIALS_FILE
		home    string // ~/.aws/config
		want    string // who sends the requests
		source  string // as the check calls it
	}{
		"file":                                {file: "[default]\nKEYS(file)", want: "user/file", source: "keys in file"},
		"file before keys in the environment": {file: "[default]\nKEYS(file)", env: envKeys, want: "user/file"},
		"file before web identity":            {file: "[default]\nKEYS(file)", env: irsa, want: "user/file"},
		"profile of file":                     {file: "[default]\nKEYS(file)[other]\nKEYS(other)", profile: "other", want: "user/other"},
		"profile of file, as in a configuration": {
			file: "[default]\nKEYS(file)[profile other]\nKEYS(other)", profile: "other", want: "user/other",
		},
		"profile of the environment": {
			file: "[default]\nKEYS(file)[other]\nKEYS(other)", env: map[string]string{"AWS_PROFILE": "other"}, want: "user/other",
		},
		"carriage returns, quotes and spaces": {
			file: "\r\n# a comment\r\n[ default ]\r\n  aws_access_key_id=\"ID(file)\"\r\naws_secret_access_key  =  'SECRET(file)'\r\n\r\n", want: "user/file",
		},
		"web identity in file as OpenShift's cloud credential operator writes it": {
			file: "[default]\nsts_regional_endpoints = regional\n" + webIdentity + "region = us-east-1\n", want: "assumed-role/reader", source: "web identity token",
		},
		"web identity in file with carriage returns and quotes": {
			file: "[default]\r\nrole_arn = \"ROLE(reader)\"\r\nweb_identity_token_file = 'TOKEN'\r\n", want: "assumed-role/reader",
		},
		"role with keys of another profile": {
			file: "[default]\n" + assumed + "source_profile = base\n[base]\nKEYS(base)", want: "assumed-role/backup", source: "assumed role",
		},
		"role with web identity of another profile": {
			file: "[default]\n" + chained + "[profile base]\n" + webIdentity + "role_session_name = velero\n", want: "assumed-role/writer/velero",
		},
		"role with keys of the environment": {
			file: "[default]\n" + assumed + "credential_source = Environment\n",
			env: map[string]string{
				"AWS_ACCESS_KEY_ID": "ID(base)", "AWS_SECRET_ACCESS_KEY": "SECRET(base)", credpolicy.AllowVariable: "credential_source",
			}, want: "assumed-role/backup",
		},
		"credential_process": {
			file: `[default]` + "\n" + `credential_process = echo '{"Version":1,"AccessKeyId":"ID(process)","SecretAccessKey":"SECRET(process)"}'`,
			env:  map[string]string{credpolicy.AllowVariable: "credential_process"}, want: "user/process", source: "credential_process",
		},
		"single sign-on": {
			file: "[default]\nsso_start_url = https://portal.example.com\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = r\n",
			env:  map[string]string{credpolicy.AllowVariable: "sso_start_url"}, want: "user/x", source: "single sign-on",
		},
		"keys in the environment":                     {env: envKeys, shared: "[default]\nKEYS(shared)", want: "user/env", source: "environment"},
		"file of the environment":                     {shared: "[default]\nKEYS(shared)", want: "user/shared"},
		"file of the environment before web identity": {shared: "[default]\nKEYS(shared)", env: irsa, want: "user/shared"},
		"profile in file of the environment":          {shared: "[default]\nKEYS(shared)[profile x]\nKEYS(x)", profile: "x", env: envKeys, want: "user/x"},
		"web identity after an empty file":            {shared: "[default]\nregion = us-east-1\n", env: irsa, want: "assumed-role/reader"},
		"web identity without a file":                 {env: irsa, want: "assumed-role/reader", source: "web identity token"},
		"configuration in the home directory":         {home: "[default]\nKEYS(x)", want: "user/x"},
		"web identity before the home directory":      {home: "[default]\nKEYS(x)", env: irsa, want: "assumed-role/reader"},
		"pod identity":                                {env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "POD", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "TOKEN"}, want: "assumed-role/pod", source: "container"},
		"container endpoint with its token":           {env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "POD", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "CONTENT"}, want: "assumed-role/pod"},
		"pod identity, with a proxy for everything":   {env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "POD", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "TOKEN", "HTTP_PROXY": "http://127.0.0.1:1"}, want: "assumed-role/pod"},
		"role of the machine":                         {env: map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "MACHINE"}, want: "assumed-role/node", source: "machine"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t)
			token := webToken(subject, "openshift", time.Now().Add(time.Hour))
			a.Trust(token, subject)
			a.singleSignOn()
			tokenPath := tokenFile(t, token)
			services := strings.NewReplacer("CONTENT", token,
				"POD", fakecloud.Serve(t, a.PodIdentity(awsfake.Role{Name: "pod"}, func() string { return token }))+"/v1/credentials",
				"MACHINE", fakecloud.Serve(t, a.Machine(awsfake.Role{Name: "node"})))
			for variable, value := range c.env {
				t.Setenv(variable, services.Replace(a.fill(value, tokenPath)))
			}
			if c.shared != "" {
				t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file(t, "cloud", a.fill(c.shared, tokenPath)))
			}
			if c.home != "" {
				t.Setenv("AWS_CONFIG_FILE", file(t, "config", a.fill(c.home, tokenPath)))
			}
			config := map[string]string{"enableSharedConfig": "true"}
			if c.profile != "" {
				config["profile"] = c.profile
			}
			if c.file != "" {
				config["credentialsFile"] = file(t, "credentials", a.fill(c.file, tokenPath))
			}
			store, err := a.configure(config)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.use(store); err != nil {
				t.Fatal(err)
			}
			if got := a.caller(); !strings.HasPrefix(got, c.want) {
				t.Errorf("the requests are of %s, want %s", got, c.want)
			}
			found, step, err := runChecks(t, a.with(pairs(config)...))
			if err != nil || !strings.Contains(found["credentials"], c.source) {
				t.Errorf("check: %s: %v, credentials %q", step, err, found["credentials"])
			}
			if !strings.Contains(found["account"], c.want) {
				t.Errorf("check: account %q", found["account"])
			}
		})
	}
}

func pairs(m map[string]string) []string {
	var list []string
	for key, value := range m {
		list = append(list, key, value)
	}
	return list
}

// The account is asked for at STS, and not with the keys of another store.
func TestChecksAccount(t *testing.T) {
	s := newScene(t, overHTTP)
	for _, sts := range []bool{false, true} {
		if sts {
			t.Setenv("AWS_ENDPOINT_URL_STS", fakecloud.Serve(t, awsfake.New(accountRegion).STS()))
		}
		found, step, err := runChecks(t, s.config)
		if err != nil || !strings.HasPrefix(found["account"], "unknown: ") {
			t.Errorf("STS asked %v: %s: %v, account %q", sts, step, err, found["account"])
		}
	}
}

// A location with a file and one with the pod's web identity live in one process.
func TestTwoIdentities(t *testing.T) {
	a := newAccount(t)
	a.Trust("the token", subject)
	t.Setenv("AWS_ROLE_ARN", a.fill("ROLE(reader)", ""))
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file(t, "token", "the token"))
	withFile, err := a.configure(map[string]string{"credentialsFile": file(t, "credentials", a.fill("[default]\nKEYS(file)", ""))})
	if err != nil {
		t.Fatal(err)
	}
	withRole, err := a.configure(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for want, store := range map[string]*s3.Store{"user/file": withFile, "assumed-role/reader": withRole} {
			if err := a.use(store); err != nil {
				t.Fatal(err)
			}
			if got := a.caller(); !strings.HasPrefix(got, want) {
				t.Errorf("the requests are of %s, want %s", got, want)
			}
		}
	}
	if n := len(a.Calls("AssumeRoleWithWebIdentity")); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

// One store takes one configuration after the other, and asks nobody when nothing
// has changed.
func TestInitAgain(t *testing.T) {
	a := newAccount(t)
	a.Trust("the token", subject)
	path := file(t, "credentials", a.fill("[default]\nrole_arn = ROLE(reader)\nweb_identity_token_file = TOKEN\n", tokenFile(t, "the token")))
	config := a.with("credentialsFile", path)
	store, err := a.configure(config)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := store.Init(t.Context(), sdk.InitInput{Config: config}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(a.Calls("AssumeRoleWithWebIdentity")); n != 1 {
		t.Errorf("%d sessions for one configuration, want 1", n)
	}
	expect := func(want string) {
		t.Helper()
		if err := a.use(store); err != nil {
			t.Fatal(err)
		}
		if got := a.caller(); !strings.HasPrefix(got, want) {
			t.Errorf("the requests are of %s, want %s", got, want)
		}
	}
	expect("assumed-role/reader")
	if err := os.WriteFile(path, []byte(a.fill("[default]\nKEYS(other)", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Init(t.Context(), sdk.InitInput{Config: config}); err != nil {
		t.Fatal(err)
	}
	expect("user/other")
	if _, err := store.Init(t.Context(), sdk.InitInput{Config: map[string]string{"nonsense": "x"}}); err == nil {
		t.Error("an unknown key is accepted")
	}
	expect("user/other")
}

// The cluster replaces the token in the middle of an upload whose session ends.
func TestTokenRotation(t *testing.T) {
	a := newAccount(t)
	a.Trust("first", subject)
	a.AddRole(awsfake.Role{Name: "reader", Subject: subject, Duration: shortSession})
	token := tokenFile(t, "first")
	path := file(t, "credentials", a.fill("[default]\nrole_arn = ROLE(reader)\nweb_identity_token_file = TOKEN\n", token))
	store, err := a.configure(map[string]string{"credentialsFile": path, "multipartConcurrency": "1"})
	if err != nil {
		t.Fatal(err)
	}
	ends := time.Now().Add(shortSession)
	body := random(4*partSize + 1)
	rotated := false
	rotate := func() error {
		if rotated {
			return nil
		}
		rotated = true
		a.Expire("first")
		a.Trust("second", subject)
		time.Sleep(time.Until(ends))
		return os.WriteFile(token, []byte("second"), 0o600)
	}
	source := io.MultiReader(bytes.NewReader(body[:2*partSize]), &hook{rotate, bytes.NewReader(body[2*partSize:])})
	if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: a.bucket, Key: "k", Body: source}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.content("k"), body) {
		t.Error("the object differs")
	}
	tokens := map[string]int{}
	for _, call := range a.Calls("AssumeRoleWithWebIdentity") {
		tokens[call.Form["WebIdentityToken"]]++
	}
	if tokens["first"] == 0 || tokens["second"] == 0 {
		t.Errorf("tokens used: %v", tokens)
	}
}

// shortSession is the life of sessions whose end a test waits for.
const shortSession = 2 * time.Second

// hook does something before it is read.
type hook struct {
	do func() error
	io.Reader
}

func (h *hook) Read(p []byte) (int, error) {
	if err := h.do(); err != nil {
		return 0, err
	}
	return h.Reader.Read(p)
}

// Tokens are requested in a region of AWS, whatever the store calls its own.
func TestTokenRegion(t *testing.T) {
	for name, c := range map[string]struct {
		env     string // AWS_REGION
		profile string
		config  []string
		want    string
	}{
		"default":     {want: "us-east-1"},
		"environment": {env: "eu-west-3", profile: "region = eu-west-1", want: "eu-west-3"},
		"profile":     {profile: "region = eu-west-1", want: "eu-west-1"},
		"AWS":         {profile: "region = eu-west-1", config: []string{"s3Url", "", "region", "cn-north-1"}, want: "cn-north-1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t)
			there := awsfake.New(c.want) // it takes signatures for its region only
			user := there.AddUser("base")
			role := there.AddRole(awsfake.Role{Name: "backup", Principals: []string{user.ARN}})
			t.Setenv("AWS_ENDPOINT_URL_STS", fakecloud.Serve(t, there.STS()))
			if c.env != "" {
				t.Setenv("AWS_REGION", c.env)
			}
			text := "[default]\nrole_arn = " + role + "\nsource_profile = base\nsts_regional_endpoints = regional\n" + c.profile +
				"\n[base]\naws_access_key_id = " + user.AccessKeyID + "\naws_secret_access_key = " + user.SecretAccessKey + "\n"
			config := a.with(append(c.config, "credentialsFile", file(t, "credentials", text))...)
			if config["region"] == accountRegion {
				config["region"] = "minio"
			}
			if _, err := a.configure(config); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is wrong with a credentials file is known before any request.
func TestCredentialsFileErrors(t *testing.T) {
	a := newAccount(t)
	for name, c := range map[string]struct{ text, profile, want string }{
		"missing file":    {text: "-", want: "no such file"},
		"missing profile": {text: "[default]\nKEYS(file)[b]\n", profile: "c", want: "the file has [default] [b]"},
		"no section":      {text: "KEYS(file)", want: "no section such as [default]"},
		"empty":           {text: "", want: "no section"},
		"half a key":      {text: "[default]\naws_access_key_id = A\n", want: "partial credentials"},
		"no credentials":  {text: "[default]\naccess_key = SECRET(file)\nregion = r\n", want: "the profile has access_key, region"},
		"half a role":     {text: "[default]\nrole_arn = ROLE(reader)\n", want: "web_identity_token_file"},
		"source missing":  {text: "[default]\nrole_arn = ROLE(reader)\nsource_profile = x\n", want: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "credentials", a.fill(c.text, ""))
			if c.text == "-" {
				os.Remove(path)
			}
			_, err := a.configure(map[string]string{"credentialsFile": path, "profile": c.profile, "s3Url": "http://127.0.0.1:1"})
			if !errors.Is(err, awsaccess.CodeCredentialsFile) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), a.users["file"].SecretAccessKey) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

// Why a role cannot be had: the error names the role, the token and what to
// change, at the start and in the course of work.
func TestRefusedRoles(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	const other = "system:serviceaccount:other:default"
	expires := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	for name, c := range map[string]struct {
		profile string
		trust   func(*account, string)
		code    fault.Code
		says    []string
	}{
		"wrong trust policy": {
			"role_arn = ROLE(reader)\nweb_identity_token_file = TOKEN\n",
			func(a *account, token string) { a.Trust(token, other) },
			awsaccess.CodeRoleRefused,
			[]string{"AccessDenied", "trust policy", "sts:AssumeRoleWithWebIdentity", ":role/reader", "TOKEN", other, `audience ["openshift"]`},
		},
		"expired token": {
			"role_arn = ROLE(reader)\nweb_identity_token_file = TOKEN\n",
			func(a *account, token string) { a.Expire(token) },
			awsaccess.CodeWebIdentity,
			[]string{"ExpiredTokenException", "TOKEN", "valid until 2031-02-03T04:05:06Z"},
		},
		"unknown issuer": {
			"role_arn = ROLE(reader)\nweb_identity_token_file = TOKEN\n",
			func(*account, string) {},
			awsaccess.CodeWebIdentity,
			[]string{"InvalidIdentityToken", "TOKEN", `issuer "https://oidc.example.com"`, "identity provider"},
		},
		"wrong external id": {
			"role_arn = ROLE(backup)\nexternal_id = another\nsource_profile = base\n[base]\nKEYS(base)",
			func(*account, string) {},
			awsaccess.CodeRoleRefused,
			[]string{"AccessDenied", "trust policy", "sts:AssumeRole ", ":role/backup", "external_id"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t)
			token := webToken(other, "openshift", expires)
			c.trust(a, token)
			tokenPath := tokenFile(t, token)
			config := map[string]string{"credentialsFile": file(t, "credentials", a.fill("[default]\n"+c.profile, tokenPath))}
			check := func(err error) {
				t.Helper()
				if !errors.Is(err, c.code) {
					t.Fatalf("error: %v", err)
				}
				for _, words := range c.says {
					if words = strings.ReplaceAll(words, "TOKEN", tokenPath); !strings.Contains(err.Error(), words) {
						t.Errorf("%q is not in: %v", words, err)
					}
				}
				if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "operation error") {
					t.Errorf("the error tells the token, or the SDK's words: %v", err)
				}
			}
			_, err := a.configure(config)
			check(err)
			_, step, err := runChecks(t, a.with(pairs(config)...))
			if step != "credentials" {
				t.Errorf("step %s", step)
			}
			check(err)
		})
	}
	t.Run("in the course of work", func(t *testing.T) {
		a := newAccount(t)
		a.Trust("the token", subject)
		a.AddRole(awsfake.Role{Name: "reader", Subject: subject, Duration: shortSession})
		tokenPath := tokenFile(t, "the token")
		store, err := a.configure(map[string]string{
			"credentialsFile": file(t, "credentials", a.fill("[default]\nrole_arn = ROLE(reader)\nweb_identity_token_file = TOKEN\n", tokenPath)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ends := time.Now().Add(shortSession)
		a.Expire("the token")
		if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: a.bucket, Key: "k", Body: strings.NewReader("x")}); err != nil {
			t.Errorf("while the session lasts: %v", err)
		}
		time.Sleep(time.Until(ends))
		_, err = store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: a.bucket, Key: "k", Body: strings.NewReader("x")})
		if !errors.Is(err, awsaccess.CodeWebIdentity) || !strings.HasPrefix(err.Error(), "error putting object k: error getting credentials from profile default of ") ||
			!strings.Contains(err.Error(), tokenPath) || strings.Contains(err.Error(), "operation error") {
			t.Errorf("error: %v", err)
		}
	})
}

// No credentials at all is an error that says where to give them.
func TestNoCredentials(t *testing.T) {
	a := newAccount(t)
	store, err := a.configure(nil)
	if err == nil {
		err = a.use(store)
	}
	if !errors.Is(err, awsaccess.CodeNoCredentials) || !strings.Contains(err.Error(), "spec.credential") {
		t.Errorf("error: %v", err)
	}
}

// tokenFile writes a token that locations may send to the token service.
func tokenFile(t *testing.T, token string) string {
	t.Helper()
	path := file(t, "token", token)
	t.Setenv(credpolicy.TokenFilesVariable, path)
	return path
}

// The config of a user's location names no secret and no file of an administrator's:
// they would be sent to the user's store as the key of its objects.
func TestCustomerKeyOfAUser(t *testing.T) {
	bare(t)
	dir := t.TempDir()
	t.Setenv("VELERO_NAMESPACE", "openshift-adp")
	key := file(t, "key", strings.Repeat("k", 32))
	for secret, refused := range map[string]bool{"shop-minio-5ffb0b4e-8f3c-4a52-9a7e-0f6f7d1c2b3a": true, "cloud-credentials": false} {
		credentials := filepath.Join(dir, secret+"-cloud")
		if err := os.WriteFile(credentials, []byte("[default]\naws_access_key_id = a\naws_secret_access_key = b\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		config := map[string]string{"bucket": "b", "region": "r", "s3Url": "https://127.0.0.1:1", "credentialsFile": credentials}
		for name, value := range map[string]string{"customerKeyEncryptionFile": key, "customerKeyEncryptionSecret": "other/key"} {
			config := maps.Clone(config)
			config[name] = value
			_, err := s3.New(slog.New(slog.DiscardHandler)).Init(t.Context(), sdk.InitInput{Config: config})
			if errors.Is(err, credpolicy.Refused) != refused || refused && !strings.Contains(err.Error(), credpolicy.AllowVariable+"="+name) {
				t.Errorf("%s with secret %s: %v", name, secret, err)
			}
		}
	}
}
