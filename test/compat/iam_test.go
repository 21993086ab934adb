package compat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// iam is a client of AWS' API for users, which is a form in a signed request.
type iam struct {
	endpoint             string
	accessKey, secretKey string
}

// user makes a user with a policy, and a key for it.
func (c iam) user(ctx context.Context, name, policy string) (accessKey, secretKey string, err error) {
	if _, err := c.call(ctx, "CreateUser", "UserName", name); err != nil {
		return "", "", err
	}
	_, err = c.call(ctx, "PutUserPolicy", "UserName", name, "PolicyName", "test", "PolicyDocument", policy)
	if err != nil {
		return "", "", err
	}
	answer, err := c.call(ctx, "CreateAccessKey", "UserName", name)
	if err != nil {
		return "", "", err
	}
	var key struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	err = xml.Unmarshal(answer, &key)
	return key.ID, key.Secret, err
}

func (c iam) call(ctx context.Context, action string, parameters ...string) ([]byte, error) {
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	body := form.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(body))
	key := aws.Credentials{AccessKeyID: c.accessKey, SecretAccessKey: c.secretKey}
	if err := v4.NewSigner().SignHTTP(ctx, key, request, hex.EncodeToString(sum[:]), "iam", "us-east-1", time.Now()); err != nil {
		return nil, err
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", action, response.Status, answer)
	}
	return answer, err
}
