package awsfake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// skew is how far the clock of a client may be off.
const skew = 15 * time.Minute

// signature is what an Authorization header of signature version 4 holds, or the
// query of a signed URL.
type signature struct {
	accessKey, date, region, service string
	headers                          []string
	value                            string
	presigned                        bool
}

// signatureOf returns the signature of a request and the session token that comes
// with it.
func signatureOf(r *http.Request) (s signature, token string, refusal *fakecloud.Refusal) {
	query := r.URL.Query()
	if query.Has("X-Amz-Signature") {
		s, ok := newSignature(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature"))
		if !ok || query.Get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" {
			return s, "", fakecloud.Refuse(http.StatusBadRequest, "AuthorizationQueryParametersError", "the query is not that of a signed URL of signature version 4")
		}
		s.presigned = true
		return s, query.Get("X-Amz-Security-Token"), nil
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return s, "", fakecloud.Refuse(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	s, ok := parseSignature(header)
	if !ok {
		return s, "", fakecloud.Refuse(http.StatusBadRequest, "IncompleteSignature", "the Authorization header is not that of signature version 4")
	}
	return s, r.Header.Get("X-Amz-Security-Token"), nil
}

func parseSignature(header string) (signature, bool) {
	fields, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return signature{}, false
	}
	values := map[string]string{}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		values[name] = value
	}
	return newSignature(values["Credential"], values["SignedHeaders"], values["Signature"])
}

func newSignature(credential, headers, value string) (signature, bool) {
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[4] != "aws4_request" || value == "" {
		return signature{}, false
	}
	return signature{
		accessKey: scope[0], date: scope[1], region: scope[2], service: scope[3],
		headers: strings.Split(headers, ";"), value: value,
	}, true
}

// mustBeSigned are the headers that a signature has to cover, as far as a request
// has them.
var mustBeSigned = []string{"host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}

// compute returns the signature that the request should have.
func (s signature) compute(r *http.Request, secret, payloadHash string) (string, *fakecloud.Refusal) {
	for _, name := range mustBeSigned {
		if (name == "host" || r.Header.Get(name) != "") && !slices.Contains(s.headers, name) {
			return "", fakecloud.Refuse(http.StatusForbidden, "SignatureDoesNotMatch", "'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
		}
	}
	stamp, query, life := r.Header.Get("X-Amz-Date"), r.URL.Query(), skew
	if s.presigned {
		stamp, payloadHash = query.Get("X-Amz-Date"), "UNSIGNED-PAYLOAD"
		seconds, _ := strconv.Atoi(query.Get("X-Amz-Expires"))
		life = time.Duration(seconds) * time.Second
		query.Del("X-Amz-Signature")
	}
	at, err := time.Parse("20060102T150405Z", stamp)
	if err != nil || !strings.HasPrefix(stamp, s.date) {
		return "", fakecloud.Refuse(http.StatusForbidden, "IncompleteSignature", "Date in Credential scope does not match the date of the request.")
	}
	if time.Since(at).Abs() > life {
		return "", fakecloud.Refuse(http.StatusForbidden, "SignatureDoesNotMatch", "Signature expired: %s is now earlier than the time of the server.", stamp)
	}
	request := strings.Join([]string{
		r.Method, r.URL.EscapedPath(), canonicalQuery(query), canonicalHeaders(r, s.headers), strings.Join(s.headers, ";"), payloadHash,
	}, "\n")
	scope := strings.Join([]string{s.date, s.region, s.service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, digest([]byte(request))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request", text} {
		key = mac(key, part)
	}
	return hex.EncodeToString(key), nil
}

func canonicalHeaders(r *http.Request, names []string) string {
	var b strings.Builder
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = r.Header.Get("Content-Length")
		}
		b.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	return b.String()
}

func canonicalQuery(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readBody reads the body and puts it back.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, err
}
