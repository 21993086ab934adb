package s3_test

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
)

// lister is an S3 server that lists nothing and remembers who asked.
type lister struct {
	url string

	mu     sync.Mutex
	keys   []string // access keys
	tokens []string // session tokens
}

func newLister(t *testing.T) *lister {
	l := &lister{}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

func (l *lister) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(rest, "/")
	l.keys = append(l.keys, key)
	l.tokens = append(l.tokens, r.Header.Get("X-Amz-Security-Token"))
	io.WriteString(w, `<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`)
}

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

func keys(id string) string {
	return "aws_access_key_id = " + id + "\naws_secret_access_key = secret-of-" + id + "\n"
}

// Whoever is configured signs the requests.
func TestCredentialOrder(t *testing.T) {
	const role = "role_arn = arn:aws:iam::1:role/R\n"
	for name, c := range map[string]struct {
		file   string            // the location's credentials file
		config map[string]string // of the location
		env    map[string]string
		shared string // file of AWS_SHARED_CREDENTIALS_FILE
		want   string // access key
	}{
		"file": {file: "[default]\n" + keys("FILE"), want: "FILE"},
		"file before keys in the environment": {
			file: "[default]\n" + keys("FILE"), env: map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}, want: "FILE",
		},
		"file before web identity": {
			file: "[default]\n" + keys("FILE"), env: map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/R", "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}, want: "FILE",
		},
		"profile of file": {
			file: "[default]\n" + keys("FILE") + "[other]\n" + keys("OTHER"), config: map[string]string{"profile": "other"}, want: "OTHER",
		},
		"profile of file in the form of a configuration": {
			file: "[default]\n" + keys("FILE") + "[profile other]\n" + keys("OTHER"), config: map[string]string{"profile": "other"}, want: "OTHER",
		},
		"profile of the environment": {
			file: "[default]\n" + keys("FILE") + "[other]\n" + keys("OTHER"), env: map[string]string{"AWS_PROFILE": "other"}, want: "OTHER",
		},
		"carriage returns, quotes and spaces": {
			file: "\r\n# a comment\r\n[ default ]\r\n  aws_access_key_id=\"FILE\"\r\naws_secret_access_key  =  'a=b/c+d'\r\n\r\n", want: "FILE",
		},
		"web identity in file": {
			file: "[default]\nsts_regional_endpoints = regional\n" + role + "web_identity_token_file = TOKEN\nregion = eu-west-1\n", want: "WEB-R",
		},
		"role with keys of another profile": {
			file: "[default]\n" + role + "source_profile = base\n[base]\n" + keys("BASE"), want: "ROLE-OF-BASE-R",
		},
		"role with web identity of another profile": {
			file: "[default]\nrole_arn = arn:aws:iam::1:role/S\nsource_profile = base\n[profile base]\n" + role + "web_identity_token_file = TOKEN\n", want: "ROLE-OF-WEB-R-S",
		},
		"keys in the environment": {
			env: map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}, shared: "[default]\n" + keys("SHARED"), want: "ENV",
		},
		"file of the environment": {shared: "[default]\n" + keys("SHARED"), want: "SHARED"},
		"file of the environment before web identity": {
			shared: "[default]\n" + keys("SHARED"), env: map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/R", "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}, want: "SHARED",
		},
		"profile in file of the environment before its keys": {
			shared: "[default]\n" + keys("SHARED") + "[profile x]\n" + keys("X"), config: map[string]string{"profile": "x"},
			env: map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}, want: "X",
		},
		"web identity after an empty file": {
			shared: "[default]\nregion = x\n", env: map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/R", "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}, want: "WEB-R",
		},
		"web identity without a file": {
			env: map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/R", "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}, want: "WEB-R",
		},
		"pod identity": {
			env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "CLOUD/pod", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "TOKEN"}, want: "POD",
		},
		"pod identity with a proxy for everything": {
			env: map[string]string{
				"AWS_CONTAINER_CREDENTIALS_FULL_URI": "CLOUD/pod", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "TOKEN", "HTTP_PROXY": "http://127.0.0.1:1",
			}, want: "POD",
		},
		"role of the machine": {
			env: map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "CLOUD"}, want: "NODE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			cloud := newCloud(t)
			cloud.tokens, cloud.podToken = []string{"the token"}, "the token"
			cloud.secrets = map[string]string{"BASE": "secret-of-BASE", "WEB-R": "secret-of-WEB-R"}
			fill := strings.NewReplacer("TOKEN", file(t, "token", "the token"), "CLOUD", cloud.url)
			for variable, value := range c.env {
				t.Setenv(variable, fill.Replace(value))
			}
			if c.shared != "" {
				t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file(t, "cloud", fill.Replace(c.shared)))
			}
			l := newLister(t)
			config := l.config(c.config)
			if c.file != "" {
				config["credentialsFile"] = file(t, "credentials", fill.Replace(c.file))
			}
			environment := os.Environ()

			store := newStore(t, config)
			if _, err := store.ListObjects(t.Context(), "b", ""); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(l.keys, []string{c.want}) {
				t.Errorf("signed by %v, want %s", l.keys, c.want)
			}
			if !slices.Equal(os.Environ(), environment) {
				t.Error("the environment changed")
			}
		})
	}
}

func (l *lister) config(more map[string]string) map[string]string {
	config := map[string]string{"bucket": "b", "prefix": "", "s3Url": l.url, "s3ForcePathStyle": "true", "region": "minio"}
	maps.Copy(config, more)
	return config
}

func newStore(t *testing.T, config map[string]string) *s3.Store {
	t.Helper()
	store := s3.New(slog.New(slog.DiscardHandler))
	if err := store.Init(t.Context(), config); err != nil {
		t.Fatalf("Init: %v", err)
	}
	return store
}

// A location with a file and one with the pod's web identity live in one process.
func TestTwoIdentities(t *testing.T) {
	bare(t)
	cloud := newCloud(t)
	cloud.tokens = []string{"the token"}
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/R")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file(t, "token", "the token"))
	l := newLister(t)
	withFile := newStore(t, l.config(map[string]string{"credentialsFile": credentialsFile(t, "FILE", "s")}))
	withRole := newStore(t, l.config(nil))
	for range 2 {
		for _, store := range []*s3.Store{withFile, withRole} {
			if _, err := store.ListObjects(t.Context(), "b", ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := []string{"FILE", "WEB-R", "FILE", "WEB-R"}; !slices.Equal(l.keys, want) {
		t.Errorf("signed by %v, want %v", l.keys, want)
	}
	if n := len(cloud.callsOf("AssumeRoleWithWebIdentity")); n != 1 {
		t.Errorf("%d tokens requested, want 1", n)
	}
}

// One store takes one configuration after the other, and asks nobody when nothing
// has changed.
func TestInitAgain(t *testing.T) {
	bare(t)
	cloud := newCloud(t)
	cloud.tokens = []string{"the token"}
	l := newLister(t)
	role := "[default]\nrole_arn = arn:aws:iam::1:role/R\nweb_identity_token_file = " + file(t, "token", "the token") + "\n"
	path := file(t, "credentials", role)
	config := l.config(map[string]string{"credentialsFile": path})
	store := newStore(t, config)
	for range 3 {
		if err := store.Init(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(cloud.callsOf("AssumeRoleWithWebIdentity")); n != 1 {
		t.Errorf("%d tokens requested for one configuration, want 1", n)
	}
	signer := func() string {
		t.Helper()
		if _, err := store.ListObjects(t.Context(), "b", ""); err != nil {
			t.Fatal(err)
		}
		return l.keys[len(l.keys)-1]
	}
	if got := signer(); got != "WEB-R" {
		t.Errorf("signed by %s", got)
	}
	if err := os.WriteFile(path, []byte("[default]\n"+keys("NEW")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Init(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if got := signer(); got != "NEW" {
		t.Errorf("signed by %s after the file changed", got)
	}
	if err := store.Init(t.Context(), map[string]string{"nonsense": "x"}); err == nil {
		t.Error("an unknown key is accepted")
	}
	if got := signer(); got != "NEW" {
		t.Errorf("signed by %s after an Init that failed", got)
	}
}

// Credentials are renewed from the token file as it is then.
func TestTokenRenewal(t *testing.T) {
	bare(t)
	cloud := newCloud(t)
	cloud.tokens = []string{"first", "second"}
	cloud.lifetime = time.Minute // less than the margin, so renewed each time
	token := file(t, "token", "first")
	l := newLister(t)
	role := "[default]\nrole_arn = arn:aws:iam::1:role/R\nweb_identity_token_file = " + token + "\n"
	store := newStore(t, l.config(map[string]string{"credentialsFile": file(t, "credentials", role)}))
	if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.ListObjects(t.Context(), "b", ""); err != nil {
		t.Fatal(err)
	}
	calls := cloud.callsOf("AssumeRoleWithWebIdentity")
	if len(calls) < 2 || calls[len(calls)-1].Get("WebIdentityToken") != "second" {
		t.Errorf("calls: %v", calls)
	}
	if l.tokens[0] != "session-of-WEB-R" {
		t.Errorf("session token %q", l.tokens[0])
	}
}

// Tokens are requested in a region of AWS, whatever the store calls its own.
func TestTokenRegion(t *testing.T) {
	for name, c := range map[string]struct {
		env     map[string]string
		profile string
		config  map[string]string
		want    string
	}{
		"default":     {want: "us-east-1"},
		"environment": {env: map[string]string{"AWS_REGION": "eu-west-3"}, profile: "region = eu-west-1", want: "eu-west-3"},
		"profile":     {profile: "region = eu-west-1", want: "eu-west-1"},
		"AWS":         {profile: "region = eu-west-1", config: map[string]string{"s3Url": "", "region": "cn-north-1"}, want: "cn-north-1"},
	} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			cloud := newCloud(t)
			cloud.secrets = map[string]string{"BASE": "secret-of-BASE"}
			for variable, value := range c.env {
				t.Setenv(variable, value)
			}
			l := newLister(t)
			text := "[default]\nrole_arn = arn:aws:iam::1:role/R\nsource_profile = base\n" + c.profile + "\n[base]\n" + keys("BASE")
			config := l.config(map[string]string{"credentialsFile": file(t, "credentials", text)})
			maps.Copy(config, c.config)
			newStore(t, config)
			calls := cloud.callsOf("AssumeRole")
			if len(calls) != 1 || calls[0].Get("Region") != c.want {
				t.Errorf("calls: %v, want region %s", calls, c.want)
			}
		})
	}
}

// What is wrong with a credentials file is known before any request.
func TestCredentialsFileErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, profile, want string }{
		"missing file":    {text: "-", want: "no such file"},
		"missing profile": {text: "[default]\n" + keys("A") + "[b]\n", profile: "c", want: "the file has [default] [b]"},
		"no section":      {text: keys("A"), want: "no section such as [default]"},
		"empty":           {text: "", want: "no section"},
		"half a key":      {text: "[default]\naws_access_key_id = A\n", want: "partial credentials"},
		"byte order mark": {text: "\ufeff[default]\n" + keys("A"), want: "byte order mark"},
		"source missing":  {text: "[default]\nrole_arn = arn:aws:iam::1:role/R\nsource_profile = x\n", want: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			path := file(t, "credentials", c.text)
			if c.text == "-" {
				os.Remove(path)
			}
			config := map[string]string{"bucket": "b", "prefix": "", "credentialsFile": path, "profile": c.profile, "s3Url": "http://127.0.0.1:1"}
			err := s3.New(slog.New(slog.DiscardHandler)).Init(t.Context(), config)
			if !awsaccess.CodeCredentialsFile.Is(err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret-of") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

func TestRefusedToken(t *testing.T) {
	bare(t)
	newCloud(t)
	role := "[default]\nrole_arn = arn:aws:iam::1:role/R\nweb_identity_token_file = " + file(t, "token", "forged token") + "\n"
	path := file(t, "credentials", role)
	err := s3.New(slog.New(slog.DiscardHandler)).Init(t.Context(), newLister(t).config(map[string]string{"credentialsFile": path}))
	if !awsaccess.CodeWebIdentity.Is(err) || !strings.Contains(err.Error(), "InvalidIdentityToken") || strings.Contains(err.Error(), "forged") {
		t.Errorf("error: %v", err)
	}
}
