package s3

import (
	"context"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
)

// clientOptions makes requests that all servers understand.
func clientOptions(o *s3.Options) {
	// Both would add headers, trailers and chunks that many servers refuse.
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	o.ContinueHeaderThresholdBytes = -1
	o.HTTPClient = verified{o.HTTPClient}
	if o.RetryMaxAttempts == 0 {
		o.RetryMaxAttempts = awsaccess.MaxAttempts
	}
	if o.RetryMode != aws.RetryModeAdaptive {
		o.Retryer = awsaccess.NewRetryer(o.RetryMaxAttempts)
	}
	if r, ok := o.Retryer.(aws.RetryerV2); ok {
		o.Retryer = retryer{r}
	}
	o.APIOptions = append(o.APIOptions, setPayloadHash, lastAnswer)
}

// newClient returns a client for the endpoint, "" for AWS or what the environment
// says.
func newClient(cfg aws.Config, endpoint string, pathStyle bool) *s3.Client {
	return s3.NewFromConfig(cfg, clientOptions, func(o *s3.Options) {
		o.EndpointResolverV2 = newKnownEndpoints()
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
		o.UsePathStyle = pathStyle
		if !isAWS(aws.ToString(o.BaseEndpoint)) {
			o.APIOptions = append(o.APIOptions, stripOperationName, unsignAcceptEncoding)
		}
	})
}

// isAWS reports whether an endpoint is one of Amazon's own.
func isAWS(endpoint string) bool {
	if endpoint == "" {
		return true
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws"} {
		if strings.HasSuffix(host, domain) {
			return true
		}
	}
	return false
}

// stripOperationName removes the SDK's x-id from the query, which some servers
// take for a part of the object's name or of the signature.
func stripOperationName(stack *middleware.Stack) error {
	return stack.Serialize.Insert(middleware.SerializeMiddlewareFunc("StripOperationName", func(
		ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler,
	) (middleware.SerializeOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok {
			r.URL.RawQuery = withoutOperationName(r.URL.RawQuery)
		}
		return next.HandleSerialize(ctx, in)
	}), "OperationSerializer", middleware.After)
}

func withoutOperationName(query string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" && !strings.HasPrefix(pair, "x-id=") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// unsignAcceptEncoding keeps Accept-Encoding out of the signature: proxies and
// gateways in front of a server rewrite it. It is sent all the same, as a server
// must not compress.
func unsignAcceptEncoding(stack *middleware.Stack) error {
	const header, identity = "Accept-Encoding", "identity"
	set := func(id, value string) middleware.FinalizeMiddleware {
		return middleware.FinalizeMiddlewareFunc(id, func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if r, ok := in.Request.(*smithyhttp.Request); ok {
				r.Header.Del(header)
				if value != "" {
					r.Header.Set(header, value)
				}
			}
			return next.HandleFinalize(ctx, in)
		})
	}
	if _, ok := stack.Finalize.Get("Signing"); !ok {
		return nil // a presigned request carries no such header
	}
	if err := stack.Finalize.Insert(set("RemoveAcceptEncoding", ""), "Signing", middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(set("RestoreAcceptEncoding", identity), "Signing", middleware.After)
}

type payloadHashKey struct{}

// withPayloadHash makes the request sign this hash of its body, in hex, in place
// of one that the SDK would compute for each attempt, or of none over TLS.
func withPayloadHash(ctx context.Context, hash string) context.Context {
	return context.WithValue(ctx, payloadHashKey{}, hash)
}

func setPayloadHash(stack *middleware.Stack) error {
	if _, ok := stack.Finalize.Get("ComputePayloadHash"); !ok {
		return nil
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("SetPayloadHash", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if hash, ok := ctx.Value(payloadHashKey{}).(string); ok {
			ctx = v4.SetPayloadHash(ctx, hash)
		}
		return next.HandleFinalize(ctx, in)
	}), "ComputePayloadHash", middleware.Before)
}
