package awsaccess

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/oadp-plugins/oadp-plugins/internal/stall"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Resolve looks up the host that requests for u connect to, which may be a
// proxy, and says in words what it found.
func Resolve(ctx context.Context, u *url.URL) (found string, err error) {
	name, via := u.Hostname(), ""
	proxy, err := proxyFromEnvironment()(&http.Request{URL: u})
	if err != nil {
		return "", &fault.Error{Code: CodeProxy, What: "error reading the proxy variables of the environment", Err: err}
	}
	if proxy != nil {
		name, via = proxy.Hostname(), " (the proxy for "+u.Host+")"
	}
	if net.ParseIP(name) != nil {
		return name + via + " is an address", nil
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return "", ConnectionFault("error resolving "+name+via, err)
	}
	return fmt.Sprintf("%s%s is %s", name, via, strings.Join(addresses, ", ")), nil
}

// Connect connects to the server of u and says in words what certificate it has.
// Any answer of the server will do.
func (t Trust) Connect(ctx context.Context, u *url.URL) (found string, err error) {
	client, err := t.HTTPClient()
	if err != nil {
		return "", err
	}
	transport := client.GetTransport()
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 2*stall.ConnectTime)
	defer cancel()
	root := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, root.String(), nil)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", ConnectionFault("error connecting to "+u.Scheme+"://"+u.Host, err)
	}
	response.Body.Close()
	if response.TLS == nil {
		return u.Host + " answers over plain HTTP, without encryption", nil
	}
	certificate := response.TLS.PeerCertificates[0]
	trust := "verified"
	if t.SkipVerify {
		trust = "not verified, because of insecureSkipTLSVerify"
	}
	return fmt.Sprintf("%s answers, certificate of %q issued by %q valid until %s, %s", u.Host, certificate.Subject,
		certificate.Issuer, certificate.NotAfter.Format(time.DateOnly), trust), nil
}

// Account asks STS whose the credentials are and says it in words. Other services
// can work where STS cannot be reached, so that this is no error.
func Account(ctx context.Context, cfg aws.Config) (found string, err error) {
	const attempts = 2 // somebody waits for the answer
	client := sts.NewFromConfig(cfg, func(o *sts.Options) { o.Retryer = NewRetryer(attempts) })
	identity, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	switch {
	case err == nil:
		return fmt.Sprintf("%s, %s", aws.ToString(identity.Account), aws.ToString(identity.Arn)), nil
	case Answer(err) == nil && !AboutCredentials(err):
		return "not known, as STS cannot be reached: " + Plain(err).Error(), nil
	}
	return "", Fault("error asking for the account of the credentials", err)
}
