package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// bucketRegion asks S3 for the region of a bucket, without credentials. hint is a
// region of the same partition: buckets in China are not known elsewhere.
func bucketRegion(ctx context.Context, cfg aws.Config, bucket, hint string, pathStyle bool) (string, error) {
	cfg = cfg.Copy()
	cfg.Credentials = aws.AnonymousCredentials{}
	cfg.Region = cmp.Or(hint, awsaccess.FallbackRegion)
	client := newClient(cfg, "", pathStyle)
	out, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	if err == nil && aws.ToString(out.BucketRegion) != "" {
		return *out.BucketRegion, nil
	}
	if region := regionHeader(err); region != "" {
		return region, nil
	}
	what := fmt.Sprintf("error finding the region of bucket %s", bucket)
	status := awsaccess.Status(err)
	switch {
	case err == nil:
		return "", &fault.Error{Code: CodeRegionUnknown, What: what, Err: errors.New("the server did not name it")}
	case status == http.StatusNotFound:
		return "", &fault.Error{Code: CodeNoSuchBucket, What: what, Err: errors.New("the bucket does not exist")}
	case status != 0:
		return "", &fault.Error{Code: CodeRegionUnknown, What: what, Err: fmt.Errorf("the server answered %d without naming it", status)}
	}
	return "", awsaccess.Fault(what, err, names)
}

// discover returns the region of the configured bucket. s.init is held.
func (s *Store) discover(ctx context.Context, p *prepared, transport *endpoint.Transport) (string, error) {
	bucket, hint := p.settings.bucket, awsaccess.EnvironmentRegion(p.identity)
	if bucket == "" {
		return "", &fault.Error{Code: CodeRegionUnknown, What: "the config has neither a region nor a bucket to find it by"}
	}
	where := hint + "/" + bucket
	if region, ok := s.regions[where]; ok {
		return region, nil
	}
	cfg, err := p.identity.Config(ctx, transport, hint)
	if err != nil {
		return "", err
	}
	region, err := bucketRegion(ctx, cfg, bucket, hint, p.settings.pathStyle)
	if err != nil {
		return "", err
	}
	s.regions[where] = region
	return region, nil
}

// regionHeader returns the region that an S3 error response names.
func regionHeader(err error) string {
	var resp *awshttp.ResponseError
	if !errors.As(err, &resp) || resp.Response == nil {
		return ""
	}
	return resp.Response.Header.Get("X-Amz-Bucket-Region")
}
