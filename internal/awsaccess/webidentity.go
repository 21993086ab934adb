package awsaccess

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// webIdentity is a role, and the file with the token by which STS lets a client
// assume it.
type webIdentity struct{ role, tokenFile string }

// webIdentityOf returns the role and token file at the beginning of the chain of
// profiles that p takes its credentials from, or nothing.
func webIdentityOf(p *awsconfig.SharedConfig) webIdentity {
	for ; p != nil; p = p.Source {
		if p.WebIdentityTokenFile != "" {
			return webIdentity{p.RoleARN, p.WebIdentityTokenFile}
		}
	}
	return webIdentity{}
}

// environmentWebIdentity is the token that the cluster gave to the pod.
func environmentWebIdentity() webIdentity {
	return webIdentity{os.Getenv("AWS_ROLE_ARN"), os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")}
}

// explain says why there are no credentials, and with which role and token.
func (id Identity) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err // nobody waits for them any more
	}
	f := &fault.Error{Code: credentialsCode(err), What: "error getting credentials from " + id.description, Err: Plain(err)}
	operation := tokenOperation(err)
	switch {
	case f.Code.ID == endpoint.CodeBusy.ID:
		f.Fix = "try again when the service that hands out the credentials has recovered; it did not refuse them"
	case isEndpointCode(f.Code):
		f.Fix = tokenService.Fix(f.Code)
	case operation == "AssumeRoleWithWebIdentity" && f.Code.ID == CodeRoleRefused.ID:
		f.Fix = fmt.Sprintf("correct the role %s, or let its trust policy allow sts:AssumeRoleWithWebIdentity for subject and audience of the token in %s%s",
			id.web.role, id.web.tokenFile, id.web.claims())
	case operation == "AssumeRoleWithWebIdentity" && f.Code.ID == CodeWebIdentity.ID:
		f.Fix = fmt.Sprintf("check the role %s, that %s%s is the projected token of the pod, which is renewed there, and that the account has its issuer with this audience as an identity provider",
			id.web.role, id.web.tokenFile, id.web.claims())
	case operation == "AssumeRole" && f.Code.ID == CodeRoleRefused.ID:
		f.Fix = fmt.Sprintf("correct the role %s, or let its trust policy allow sts:AssumeRole for the keys that are used, with the external_id that it demands", id.role)
	}
	return f
}

// tokenService has the settings that errors of STS speak of.
var tokenService = endpoint.Settings{
	Address: "AWS_ENDPOINT_URL_STS or the region",
	CACert:  "objectStorage.caCert of the location or the file of AWS_CA_BUNDLE",
}

func isEndpointCode(code fault.Code) bool {
	return slices.ContainsFunc(endpoint.Codes, func(c fault.Code) bool { return c.ID == code.ID })
}

// claims returns the claims of the token for an error, or "" when it cannot be
// read: ` (subject "system:serviceaccount:...", audience [...], ...)`. The token is
// not verified, and its signature is left out.
func (w webIdentity) claims() string {
	data, err := os.ReadFile(w.tokenFile)
	if err != nil {
		return ""
	}
	c, ok := parseClaims(string(data))
	if !ok {
		return ""
	}
	return fmt.Sprintf(" (subject %q, audience %q, issuer %q, valid until %s)", c.Subject, []string(c.Audience), c.Issuer,
		time.Unix(int64(c.Expires), 0).UTC().Format(time.RFC3339))
}

type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Expires  float64  `json:"exp"`
}

func parseClaims(token string) (c claims, ok bool) {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return claims{}, false
	}
	return c, json.Unmarshal(payload, &c) == nil
}

// audience is one name or several.
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}
