package s3

import (
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyauth "github.com/aws/smithy-go/auth"
)

// What is remembered is what the rules say, for each bucket, region and address
// by itself.
func TestKnownEndpoints(t *testing.T) {
	known, rules := newKnownEndpoints(), s3.NewDefaultEndpointResolverV2()
	for range 2 {
		for _, p := range []s3.EndpointParameters{
			{Bucket: aws.String("one"), Region: aws.String("minio"), Endpoint: aws.String("http://127.0.0.1:9000"), ForcePathStyle: aws.Bool(true)},
			{Bucket: aws.String("one"), Region: aws.String("minio"), Endpoint: aws.String("http://127.0.0.1:9000")},
			{Bucket: aws.String("two"), Region: aws.String("eu-west-1")},
			{Bucket: aws.String("two"), Region: aws.String("eu-west-1"), UseDualStack: aws.Bool(true)},
			{Bucket: aws.String("two"), Region: aws.String("us-west-1")},
			{Bucket: aws.String("two"), Region: aws.String("eu-west-1"), Key: aws.String("docker/x"), Prefix: aws.String("p")},
			{Bucket: aws.String("zone--use1-az4--x-s3"), Region: aws.String("us-east-1")},
			{Bucket: aws.String("arn:aws:s3:us-west-2:1:x"), Region: aws.String("us-west-2")},
		} {
			p := p.WithDefaults()
			got, err := known.ResolveEndpoint(t.Context(), p)
			want, wantErr := rules.ResolveEndpoint(t.Context(), p)
			if got.URI != want.URI || !reflect.DeepEqual(got.Headers, want.Headers) || (err == nil) != (wantErr == nil) {
				t.Errorf("%+v: %v, %v; want %v, %v", p, got.URI, err, want.URI, wantErr)
			}
		}
	}
}

// What the SDK writes into an answer is not in the next one, which another
// request may be reading.
func TestKnownEndpointsArePrivate(t *testing.T) {
	known := newKnownEndpoints()
	p := s3.EndpointParameters{Bucket: aws.String("one"), Region: aws.String("minio"), Endpoint: aws.String("http://127.0.0.1:9000")}.WithDefaults()
	type mark struct{}
	for range 3 {
		endpoint, err := known.ResolveEndpoint(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		options, _ := smithyauth.GetAuthOptions(&endpoint.Properties)
		if len(options) == 0 {
			t.Fatal("there is no way to sign: the test proves nothing")
		}
		for _, o := range options {
			if o.SignerProperties.Has(mark{}) || o.IdentityProperties.Has(mark{}) || endpoint.Properties.Has(mark{}) {
				t.Error("the answer has been written to")
			}
			o.SignerProperties.Set(mark{}, true)
			o.IdentityProperties.Set(mark{}, true)
		}
		endpoint.Properties.Set(mark{}, true)
	}
}

func BenchmarkEndpoint(b *testing.B) {
	p := s3.EndpointParameters{Bucket: aws.String("one"), Region: aws.String("minio"), Endpoint: aws.String("http://127.0.0.1:9000"), ForcePathStyle: aws.Bool(true)}.WithDefaults()
	known := newKnownEndpoints()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := known.ResolveEndpoint(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
}
