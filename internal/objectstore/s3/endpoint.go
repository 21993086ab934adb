package s3

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyauth "github.com/aws/smithy-go/auth"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
)

// knownEndpoints remembers what the SDK's rules say. For a region that is not one
// of AWS they compile regular expressions, which costs each request more than all
// else that it does. It is safe for concurrent use.
type knownEndpoints struct {
	rules s3.EndpointResolverV2
	known sync.Map // smithyendpoints.Endpoint by endpointKey
}

// endpointKey is what rules ask for.
type endpointKey struct {
	bucket, region, endpoint string
	flags                    [11]bool
}

func newKnownEndpoints() *knownEndpoints {
	return &knownEndpoints{rules: s3.NewDefaultEndpointResolverV2()}
}

// ResolveEndpoint implements s3.EndpointResolverV2.
func (e *knownEndpoints) ResolveEndpoint(ctx context.Context, p s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	p.Key, p.Prefix, p.CopySource = nil, nil, nil // no rule asks for them
	key := endpointKey{aws.ToString(p.Bucket), aws.ToString(p.Region), aws.ToString(p.Endpoint), [...]bool{
		aws.ToBool(p.UseFIPS), aws.ToBool(p.UseDualStack), aws.ToBool(p.ForcePathStyle), aws.ToBool(p.Accelerate),
		aws.ToBool(p.UseGlobalEndpoint), aws.ToBool(p.UseObjectLambdaEndpoint), aws.ToBool(p.DisableAccessPoints),
		aws.ToBool(p.DisableMultiRegionAccessPoints), aws.ToBool(p.UseArnRegion),
		aws.ToBool(p.UseS3ExpressControlEndpoint), aws.ToBool(p.DisableS3ExpressSessionAuth),
	}}
	if known, ok := e.known.Load(key); ok {
		return private(known.(smithyendpoints.Endpoint)), nil
	}
	endpoint, err := e.rules.ResolveEndpoint(ctx, p)
	if err != nil {
		return endpoint, err
	}
	e.known.Store(key, endpoint)
	return private(endpoint), nil
}

// private returns an endpoint with properties that no other request has: the SDK
// writes into those of the ways to sign.
func private(e smithyendpoints.Endpoint) smithyendpoints.Endpoint {
	var properties smithy.Properties
	properties.SetAll(&e.Properties)
	if shared, ok := smithyauth.GetAuthOptions(&properties); ok {
		options := make([]*smithyauth.Option, len(shared))
		for i, o := range shared {
			options[i] = &smithyauth.Option{SchemeID: o.SchemeID}
			options[i].IdentityProperties.SetAll(&o.IdentityProperties)
			options[i].SignerProperties.SetAll(&o.SignerProperties)
		}
		smithyauth.SetAuthOptions(&properties, options)
	}
	e.Properties = properties
	return e
}
