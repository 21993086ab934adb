package awsfake

import (
	"encoding/xml"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

const (
	stsVersion   = "2011-06-15"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
)

// STS returns the service that turns identities into sessions.
func (c *Cloud) STS() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.serve(w, r, protocol{"sts", stsNamespace, c.sts, writeSTSError})
	})
}

func (c *Cloud) sts(r *http.Request, f *form) (any, *fakecloud.Refusal) {
	if f.version != stsVersion {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %s", f.action, f.version)
	}
	switch f.action {
	case "AssumeRoleWithWebIdentity":
		return c.assumeRoleWithWebIdentity(r, f)
	case "AssumeRole":
		return c.assumeRole(r, f)
	case "GetCallerIdentity":
		return c.getCallerIdentity(r, f)
	}
	return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %s", f.action, f.version)
}

var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// sessionRequest is what both ways to a role have in common.
type sessionRequest struct {
	role     Role
	known    bool
	name     string
	duration time.Duration
}

func (c *Cloud) sessionRequest(f *form) (sessionRequest, *fakecloud.Refusal) {
	s := sessionRequest{name: f.required("RoleSessionName")}
	s.role, s.known = c.identity.roles[f.required("RoleArn")]
	s.duration = s.role.Duration
	if seconds := f.text("DurationSeconds"); seconds != "" {
		n, err := strconv.Atoi(seconds)
		if err != nil || n < 900 || s.known && time.Duration(n)*time.Second > s.role.Duration {
			return s, fakecloud.Refuse(http.StatusBadRequest, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
		}
		s.duration = time.Duration(n) * time.Second
	}
	if !sessionName.MatchString(s.name) {
		return s, fakecloud.Refuse(http.StatusBadRequest, "ValidationError", "1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint", s.name)
	}
	return s, f.problem()
}

func (c *Cloud) assumeRoleWithWebIdentity(r *http.Request, f *form) (any, *fakecloud.Refusal) {
	if r.Header.Get("Authorization") != "" {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidRequest", "AssumeRoleWithWebIdentity is not signed")
	}
	token, known := c.identity.tokens[f.required("WebIdentityToken")]
	s, refusal := c.sessionRequest(f)
	switch {
	case refusal != nil:
		return nil, refusal
	case token.expired:
		return nil, fakecloud.Refuse(http.StatusBadRequest, "ExpiredTokenException", "Token expired: current date/time must be before the expiration date/time")
	case !known:
		return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for the issuer of the token")
	case !s.known || s.role.Subject != token.subject:
		return nil, fakecloud.Refuse(http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	return c.newSession("AssumeRoleWithWebIdentity", s), nil
}

func (c *Cloud) assumeRole(r *http.Request, f *form) (any, *fakecloud.Refusal) {
	keys, refusal := c.authenticate(r, "sts")
	if refusal != nil {
		return nil, refusal
	}
	externalID := f.text("ExternalId")
	s, refusal := c.sessionRequest(f)
	if refusal != nil {
		return nil, refusal
	}
	if !s.known || !s.role.mayAssume(keys.ARN, externalID) {
		return nil, fakecloud.Refuse(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", keys.ARN, f.text("RoleArn"))
	}
	return c.newSession("AssumeRole", s), nil
}

// newSession starts a session and returns the answer.
func (c *Cloud) newSession(action string, s sessionRequest) any {
	keys := c.session(s.role, s.name, s.duration)
	type credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	type result struct {
		XMLName     xml.Name
		Credentials credentials
		ARN         string `xml:"AssumedRoleUser>Arn"`
		RoleID      string `xml:"AssumedRoleUser>AssumedRoleId"`
	}
	return stsAnswer(result{
		XMLName:     xml.Name{Local: action + "Result"},
		Credentials: credentials{keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, keys.Expires.Format(time.RFC3339)},
		ARN:         keys.ARN,
		RoleID:      "AROAFAKE:" + s.name,
	})
}

func (c *Cloud) getCallerIdentity(r *http.Request, f *form) (any, *fakecloud.Refusal) {
	keys, refusal := c.authenticate(r, "sts")
	if refusal != nil {
		return nil, refusal
	}
	type result struct {
		XMLName xml.Name
		ARN     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string
	}
	return stsAnswer(result{xml.Name{Local: f.action + "Result"}, keys.ARN, keys.AccessKeyID, Account}), nil
}

func stsAnswer(result any) any {
	return struct {
		Result    any
		RequestID string `xml:"ResponseMetadata>RequestId"`
	}{result, fakecloud.RequestID}
}
