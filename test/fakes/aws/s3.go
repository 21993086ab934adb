package awsfake

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// S3 returns a service in front of a real server that speaks S3: the cloud decides
// who a request is from, and the server at target answers it, asked with keys and
// for a region of its own. The calls have the ARN of the caller.
func (c *Cloud) S3(target *url.URL, keys Keys, region string) http.Handler {
	credentials := aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = target.Host
		r.Out.Header.Del("Authorization")
		r.Out.Header.Del("X-Amz-Security-Token")
		if query := r.Out.URL.Query(); query.Has("X-Amz-Signature") {
			for name := range query {
				if strings.HasPrefix(name, "X-Amz-") {
					query.Del(name)
				}
			}
			r.Out.URL.RawQuery = query.Encode()
			r.Out.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		}
		_ = signer.SignHTTP(r.Out.Context(), credentials, r.Out, r.Out.Header.Get("X-Amz-Content-Sha256"), "s3", region, time.Now())
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, refusal := c.Authenticate(r, "s3")
		c.Record(Call{Service: "s3", Action: r.Method, AccessKey: caller.AccessKeyID, ARN: caller.ARN})
		if refusal != nil {
			writeS3Error(w, refusal)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}
