package awsaccess

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// Account asks STS whose the credentials are and says it in words. Other services
// can work where STS cannot be reached, so that this is no error.
func Account(ctx context.Context, cfg aws.Config) (found string, err error) {
	const attempts = 2 // somebody waits for the answer
	client := sts.NewFromConfig(cfg, func(o *sts.Options) {
		o.Retryer = NewRetryer(attempts)
		o.APIOptions = append(o.APIOptions, limitAnswers)
		if c, ok := cfg.Credentials.(*credentials); ok {
			o.HTTPClient = c.client
		}
	})
	identity, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	switch {
	case err == nil:
		return fmt.Sprintf("%s, %s", aws.ToString(identity.Account), aws.ToString(identity.Arn)), nil
	case Answer(err) == nil && !AboutCredentials(err):
		return "not known, as STS cannot be reached: " + Plain(err).Error(), nil
	}
	return "", Fault("error asking for the account of the credentials", err, endpoint.Settings{})
}
