package s3_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// account is an AWS account with a bucket: its IAM decides who a request is from,
// and MinIO answers it.
type account struct {
	*awsfake.Cloud
	*scene
	users map[string]awsfake.Keys
}

// accountRegion is that of the bucket, and where tokens are requested.
const accountRegion = "us-east-1"

// The roles of the account. A pod's token opens reader; writer is for its
// sessions, and base's keys open backup.
const (
	subject = "system:serviceaccount:openshift-adp:velero"
	session = "velero"
)

// newAccount empties the environment of everything that could give credentials,
// but for the addresses of the account's services.
func newAccount(t *testing.T) *account {
	t.Helper()
	bare(t)
	a := &account{Cloud: awsfake.New(accountRegion), scene: newScene(t, overHTTP), users: map[string]awsfake.Keys{}}
	for _, name := range []string{"file", "other", "env", "shared", "x", "base", "process"} {
		a.users[name] = a.AddUser(name)
	}
	reader := awsfake.Role{Name: "reader", Subject: subject}
	a.AddRole(reader)
	a.AddRole(awsfake.Role{Name: "writer", Principals: []string{"arn:aws:sts::" + awsfake.Account + ":assumed-role/reader/" + session}})
	a.AddRole(awsfake.Role{Name: "backup", Principals: []string{a.users["base"].ARN}, ExternalID: "the-id"})
	t.Setenv("AWS_ENDPOINT_URL_STS", fakecloud.Serve(t, a.STS()))
	target, err := url.Parse(a.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	keys := awsfake.Keys{AccessKeyID: a.minio.AccessKey, SecretAccessKey: a.minio.SecretKey}
	delete(a.config, "credentialsFile")
	a.config["s3Url"], a.config["region"] = fakecloud.Serve(t, a.S3(target, keys, stack.Region)), accountRegion
	return a
}

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

// fill replaces KEYS(user), ROLE(name) and TOKEN in the text of a file or a
// variable.
func (a *account) fill(text, tokenFile string) string {
	for name, keys := range a.users {
		text = strings.ReplaceAll(text, "KEYS("+name+")",
			"aws_access_key_id = "+keys.AccessKeyID+"\naws_secret_access_key = "+keys.SecretAccessKey+"\n")
		text = strings.NewReplacer("ID("+name+")", keys.AccessKeyID, "SECRET("+name+")", keys.SecretAccessKey).Replace(text)
	}
	text = strings.ReplaceAll(text, "ROLE(", "arn:aws:iam::"+awsfake.Account+":role/")
	for _, role := range []string{"reader", "writer", "backup"} {
		text = strings.ReplaceAll(text, "role/"+role+")", "role/"+role)
	}
	return strings.ReplaceAll(text, "TOKEN", tokenFile)
}

// configure returns a store, having checked that the environment stays as it is.
func (a *account) configure(config map[string]string) (*s3.Store, error) {
	a.t.Helper()
	all := maps.Clone(a.config)
	maps.Copy(all, config)
	before := os.Environ()
	store := s3.New(slog.New(slog.NewTextHandler(a.log, nil)))
	_, err := store.Init(a.t.Context(), sdk.InitInput{Config: all})
	if !slices.Equal(os.Environ(), before) {
		a.t.Error("the environment changed")
	}
	return store, err
}

// use puts, reads and lists with a store.
func (a *account) use(store *s3.Store) error {
	a.t.Helper()
	if _, err := store.PutObject(a.t.Context(), sdk.PutObjectInput{Bucket: a.bucket, Key: "k", Body: strings.NewReader("x")}); err != nil {
		return err
	}
	if got, err := read(a.t, store, a.bucket, "k"); err != nil || string(got) != "x" {
		return fmt.Errorf("read %q: %w", got, err)
	}
	_, err := store.ListObjects(a.t.Context(), sdk.ListObjectsInput{Bucket: a.bucket})
	return err
}

// webToken returns a token of a service account, in the form that clusters issue.
// Only the account knows whether it is genuine.
func webToken(subject, audience string, expires time.Time) string {
	part := func(v any) string {
		data, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(data)
	}
	return part(map[string]string{"alg": "RS256"}) + "." +
		part(map[string]any{"iss": "https://oidc.example.com", "sub": subject, "aud": []string{audience}, "exp": expires.Unix()}) + ".c2lnbmF0dXJl"
}

// singleSignOn serves the portal of AWS' single sign-on, and leaves a token in the
// home directory as a login does.
func (a *account) singleSignOn() {
	const token = "portal-token"
	keys := a.users["x"]
	portal := fakecloud.Serve(a.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/federation/credentials" || r.Header.Get("X-Amz-Sso_bearer_token") != token {
			http.Error(w, "{}", http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"roleCredentials": map[string]any{
			"accessKeyId": keys.AccessKeyID, "secretAccessKey": keys.SecretAccessKey, "expiration": time.Now().Add(time.Hour).UnixMilli(),
		}})
	}))
	a.t.Setenv("AWS_ENDPOINT_URL_SSO", portal)
	sum := sha1.Sum([]byte("https://portal.example.com"))
	cache := filepath.Join(os.Getenv("HOME"), ".aws", "sso", "cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		a.t.Fatal(err)
	}
	text := fmt.Sprintf(`{"accessToken":%q,"expiresAt":%q}`, token, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if err := os.WriteFile(filepath.Join(cache, hex.EncodeToString(sum[:])+".json"), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}
