package s3

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// bucketRegion asks S3 for the region of a bucket, without credentials. hint is a
// region of the same partition: buckets in China are not known elsewhere.
func bucketRegion(ctx context.Context, cfg aws.Config, set settings, hint string) (string, error) {
	cfg = cfg.Copy()
	cfg.Credentials = aws.AnonymousCredentials{}
	cfg.Region = cmp.Or(hint, awsaccess.FallbackRegion)
	client := newClient(cfg, "", set.pathStyle)
	out, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &set.bucket})
	if err == nil && aws.ToString(out.BucketRegion) != "" {
		return *out.BucketRegion, nil
	}
	if region := regionOf(err); region != "" {
		return region, nil
	}
	what := fmt.Sprintf("error finding the region of bucket %s", set.bucket)
	status := awsaccess.Status(err)
	switch {
	case err == nil:
		return "", &fault.Error{Code: CodeRegionUnknown, What: what, Err: errors.New("the server did not name it")}
	case status == http.StatusNotFound:
		return "", &fault.Error{Code: CodeNoSuchBucket, What: what, Err: errors.New("the bucket does not exist")}
	case status != 0:
		return "", &fault.Error{Code: CodeRegionUnknown, What: what, Err: fmt.Errorf("the server answered %d without naming it", status)}
	}
	return "", awsaccess.Fault(what, err, set.names())
}

// discover returns the region of the configured bucket. Init or a check runs, alone.
func (s *Store) discover(ctx context.Context, p *prepared, client *awsaccess.Client) (string, error) {
	bucket, hint := p.settings.bucket, awsaccess.EnvironmentRegion(p.identity)
	if bucket == "" {
		return "", &fault.Error{Code: CodeRegionUnknown, What: "the config has neither a region nor a bucket to find it by"}
	}
	where := hint + "/" + bucket
	if region, ok := s.regions[where]; ok {
		return region, nil
	}
	cfg, err := p.identity.Config(ctx, client, hint)
	if err != nil {
		return "", err
	}
	region, err := bucketRegion(ctx, cfg, p.settings, hint)
	if err != nil {
		return "", err
	}
	s.regions[where] = region
	return region, nil
}

// regionOf returns the region of the bucket that an error answer names, or "". It
// is in a header, in the body, or in the message only:
//
//	x-amz-bucket-region: eu-west-1
//	<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>
//	The authorization header is malformed; the region 'x' is wrong; expecting 'eu-west-1'
func regionOf(err error) string {
	var failure *awshttp.ResponseError
	if !errors.As(err, &failure) || failure.Response == nil || failure.Response.Response == nil {
		return ""
	}
	resp := failure.Response.Response
	if region := resp.Header.Get("X-Amz-Bucket-Region"); region != "" {
		return region
	}
	if document, ok := resp.Body.(*answer.Document); ok {
		var body struct{ Region string }
		if xml.Unmarshal(document.Content, &body) == nil && isRegion(body.Region) {
			return body.Region
		}
	}
	if m := expectedRegion.FindStringSubmatch(errorMessage(err)); m != nil {
		return m[1]
	}
	return ""
}

var expectedRegion = regexp.MustCompile(`expecting '([a-zA-Z0-9-]+)'`)

// isRegion reports whether the name can be a region's: it comes from a server, and
// is written into the fix of an error.
func isRegion(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
