package s3

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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

// ResolveEndpoint implements s3.EndpointResolverV2. The answer is shared, and the
// SDK does not change it.
func (e *knownEndpoints) ResolveEndpoint(ctx context.Context, p s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	p.Key, p.Prefix, p.CopySource = nil, nil, nil // no rule asks for them
	key := endpointKey{aws.ToString(p.Bucket), aws.ToString(p.Region), aws.ToString(p.Endpoint), [...]bool{
		aws.ToBool(p.UseFIPS), aws.ToBool(p.UseDualStack), aws.ToBool(p.ForcePathStyle), aws.ToBool(p.Accelerate),
		aws.ToBool(p.UseGlobalEndpoint), aws.ToBool(p.UseObjectLambdaEndpoint), aws.ToBool(p.DisableAccessPoints),
		aws.ToBool(p.DisableMultiRegionAccessPoints), aws.ToBool(p.UseArnRegion),
		aws.ToBool(p.UseS3ExpressControlEndpoint), aws.ToBool(p.DisableS3ExpressSessionAuth),
	}}
	if known, ok := e.known.Load(key); ok {
		return known.(smithyendpoints.Endpoint), nil
	}
	endpoint, err := e.rules.ResolveEndpoint(ctx, p)
	if err == nil {
		e.known.Store(key, endpoint)
	}
	return endpoint, err
}
