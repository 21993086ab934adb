package awsfake

import (
	"crypto/hmac"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// Keys are what a principal signs with.
type Keys struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string    // of a session
	Expires         time.Time // of a session
	ARN             string    // of the principal
}

// Role is a role with its trust policy.
type Role struct {
	Name       string
	Subject    string        // the subject of a web identity that may assume it
	Principals []string      // the ARNs that may assume it with their keys
	ExternalID string        // that AssumeRole has to give
	Duration   time.Duration // of a session, at most; an hour when zero
}

// ARN returns the name of the role.
func (r Role) ARN() string { return "arn:aws:iam::" + Account + ":role/" + r.Name }

type identities struct {
	keys   map[string]Keys // by access key
	roles  map[string]Role // by ARN
	tokens map[string]webIdentity
}

// webIdentity is what an identity provider says in a token.
type webIdentity struct {
	subject string
	expired bool
}

func newIdentities() identities {
	return identities{keys: map[string]Keys{}, roles: map[string]Role{}, tokens: map[string]webIdentity{}}
}

// AddUser adds a user and returns its keys, whose access key ID begins with the
// name in upper case.
func (c *Cloud) AddUser(name string) Keys {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.issue("AKIA", "arn:aws:iam::"+Account+":user/"+name, name, 0)
}

// AddRole adds a role and returns its ARN.
func (c *Cloud) AddRole(r Role) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Duration == 0 {
		r.Duration = time.Hour
	}
	c.identity.roles[r.ARN()] = r
	return r.ARN()
}

// Trust makes a token one that the identity provider has issued to a subject.
func (c *Cloud) Trust(token, subject string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.identity.tokens[token] = webIdentity{subject: subject}
}

// Expire ends the life of a token.
func (c *Cloud) Expire(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.identity.tokens[token] = webIdentity{expired: true}
}

// issue makes keys, of a session when it has a duration.
func (c *Cloud) issue(prefix, arn, name string, duration time.Duration) Keys {
	id := strings.ToUpper(strings.ReplaceAll(c.nextID(prefix+name), "-", ""))
	k := Keys{AccessKeyID: id, SecretAccessKey: "secret+of/" + id, ARN: arn}
	if duration > 0 {
		k.SessionToken = "session//of+" + id + "=="
		k.Expires = c.Now().Add(duration).UTC().Truncate(time.Second)
	}
	c.identity.keys[id] = k
	return k
}

// session starts a session of a role.
func (c *Cloud) session(r Role, name string, duration time.Duration) Keys {
	arn := "arn:aws:sts::" + Account + ":assumed-role/" + r.Name + "/" + name
	return c.issue("ASIA", arn, r.Name, duration)
}

// mayAssume reports whether the trust policy lets a principal in.
func (r Role) mayAssume(arn, externalID string) bool {
	return slices.Contains(r.Principals, arn) && r.ExternalID == externalID
}

// Authenticate verifies the signature and the session of a request to a service,
// such as s3, and returns whose it is. The body stays readable.
func (c *Cloud) Authenticate(r *http.Request, service string) (Keys, *fakecloud.Refusal) {
	if _, err := readBody(r); err != nil { // before others have to wait
		return Keys{}, fakecloud.Refuse(http.StatusBadRequest, "IncompleteBody", "%v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.authenticate(r, service)
}

func (c *Cloud) authenticate(r *http.Request, service string) (Keys, *fakecloud.Refusal) {
	s, token, refusal := signatureOf(r)
	if refusal != nil {
		return Keys{}, refusal
	}
	if s.service != service {
		return Keys{}, fakecloud.Refuse(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to correct service: '%s'.", service)
	}
	if s.region != c.region {
		return Keys{}, fakecloud.Refuse(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to a valid region, not '%s'.", s.region)
	}
	keys, known := c.identity.keys[s.accessKey]
	if !known || keys.SessionToken != token {
		return Keys{}, fakecloud.Refuse(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	body, err := readBody(r)
	if err != nil {
		return Keys{}, fakecloud.Refuse(http.StatusBadRequest, "IncompleteBody", "%v", err)
	}
	hash := digest(body)
	if given := r.Header.Get("X-Amz-Content-Sha256"); given == "UNSIGNED-PAYLOAD" {
		hash = given
	} else if given != "" && given != hash {
		return Keys{}, fakecloud.Refuse(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	value, refusal := s.compute(r, keys.SecretAccessKey, hash)
	if refusal != nil {
		return Keys{}, refusal
	}
	if !hmac.Equal([]byte(value), []byte(s.value)) {
		return Keys{}, fakecloud.Refuse(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	}
	if !keys.Expires.IsZero() && c.Now().After(keys.Expires) {
		return Keys{}, fakecloud.Refuse(http.StatusBadRequest, "ExpiredToken", "The security token included in the request is expired")
	}
	return keys, nil
}

// authorize checks that an action is allowed.
func (c *Cloud) authorize(k Keys, action, resource string) *fakecloud.Refusal {
	if c.Allows(action) {
		return nil
	}
	return fakecloud.Refuse(http.StatusForbidden, "UnauthorizedOperation",
		"You are not authorized to perform this operation. User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action. Encoded authorization failure message: Zm9yIHRoZSBhdXRob3JpdGllcyBvbmx5",
		k.ARN, action, resource, action)
}
