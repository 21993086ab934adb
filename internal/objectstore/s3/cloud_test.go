package s3_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// cloud serves what AWS offers to a pod for its credentials: STS, the endpoint of
// pod identities and the metadata service of the machine. It hands out keys whose
// names say where they come from.
type cloud struct {
	url string

	// tokens are the web identity tokens that STS takes.
	tokens []string
	// secrets are the secret keys of the identities that may assume a role.
	secrets map[string]string
	// podToken is what the pod identity endpoint demands.
	podToken string
	// lifetime is that of the credentials.
	lifetime time.Duration

	t     *testing.T
	mu    sync.Mutex
	calls []url.Values // of STS, with Region for signed ones
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{t: t, lifetime: time.Hour, secrets: map[string]string{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/":
		c.sts(w, r)
	case "/pod":
		if r.Header.Get("Authorization") != c.podToken || c.podToken == "" {
			http.Error(w, `{"code":"Unauthorized","message":"wrong token"}`, http.StatusUnauthorized)
			return
		}
		c.writeJSON(w, "POD")
	case "/latest/api/token":
		if r.Method != http.MethodPut {
			c.t.Errorf("%s for the metadata token", r.Method)
		}
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		fmt.Fprint(w, "imds-token")
	case "/latest/meta-data/iam/security-credentials/", "/latest/meta-data/iam/security-credentials/node":
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds-token" {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/") {
			fmt.Fprint(w, "node")
			return
		}
		c.writeJSON(w, "NODE")
	default:
		http.NotFound(w, r)
	}
}

func (c *cloud) writeJSON(w http.ResponseWriter, key string) {
	_ = json.NewEncoder(w).Encode(map[string]string{
		"Code": "Success", "AccessKeyId": key, "SecretAccessKey": "secret-of-" + key, "Token": "session-of-" + key,
		"Expiration": time.Now().Add(c.lifetime).UTC().Format(time.RFC3339),
	})
}

func (c *cloud) sts(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Version") != "2011-06-15" || form.Get("RoleArn") == "" || form.Get("RoleSessionName") == "" {
		c.refuse(w, "MissingParameter", string(body))
		return
	}
	action := form.Get("Action")
	key := ""
	switch action {
	case "AssumeRoleWithWebIdentity":
		if r.Header.Get("Authorization") != "" {
			c.t.Error("AssumeRoleWithWebIdentity is signed")
		}
		known := false
		for _, token := range c.tokens {
			known = known || token == form.Get("WebIdentityToken")
		}
		if !known {
			c.refuse(w, "InvalidIdentityToken", "the token is not known")
			return
		}
		key = "WEB"
	case "AssumeRole":
		signer, region, ok := c.verify(r, body)
		if !ok {
			c.refuse(w, "SignatureDoesNotMatch", "the signature is wrong")
			return
		}
		form.Set("Region", region)
		key = "ROLE-OF-" + signer
	default:
		c.refuse(w, "InvalidAction", action)
		return
	}
	c.calls = append(c.calls, form)
	_, role, _ := strings.Cut(form.Get("RoleArn"), "role/")
	key += "-" + role
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials>
<AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>secret-of-%[2]s</SecretAccessKey><SessionToken>session-of-%[2]s</SessionToken>
<Expiration>%[3]s</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/x/y</Arn><AssumedRoleId>X:y</AssumedRoleId></AssumedRoleUser>
</%[1]sResult></%[1]sResponse>`, action, key, time.Now().Add(c.lifetime).UTC().Format(time.RFC3339))
}

func (c *cloud) refuse(w http.ResponseWriter, code, message string) {
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>`, code)
	_ = xml.EscapeText(w, []byte(message))
	fmt.Fprint(w, `</Message></Error><RequestId>R</RequestId></ErrorResponse>`)
}

var authorization = regexp.MustCompile(`Credential=([^/]+)/\d{8}/([^/]+)/sts/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)`)

// verify signs the request again with the secret of its key.
func (c *cloud) verify(r *http.Request, body []byte) (key, region string, ok bool) {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return "", "", false
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	secret, known := c.secrets[m[1]]
	if err != nil || !known {
		return "", "", false
	}
	again, _ := http.NewRequest(r.Method, "http://"+r.Host+"/", nil)
	for name := range strings.SplitSeq(m[3], ";") {
		if v := r.Header.Get(name); v != "" {
			again.Header.Set(name, v)
		}
	}
	again.ContentLength = r.ContentLength
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: m[1], SecretAccessKey: secret, SessionToken: r.Header.Get("X-Amz-Security-Token")}
	if err := v4.NewSigner().SignHTTP(context.Background(), creds, again, hex.EncodeToString(sum[:]), "sts", m[2], at); err != nil {
		return "", "", false
	}
	return m[1], m[2], again.Header.Get("Authorization") == r.Header.Get("Authorization")
}

func (c *cloud) callsOf(action string) []url.Values {
	c.mu.Lock()
	defer c.mu.Unlock()
	var calls []url.Values
	for _, call := range c.calls {
		if call.Get("Action") == action {
			calls = append(calls, call)
		}
	}
	return calls
}
