package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
)

// loadConfig applies the keys that a backup storage location and a volume
// snapshot location have in common to the SDK's default configuration.
func loadConfig(location map[string]string) (aws.Config, error) {
	skipVerify, err := flag(location, "insecureSkipTLSVerify")
	if err != nil {
		return aws.Config{}, err
	}
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		if skipVerify {
			t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		}
	})
	options := []func(*config.LoadOptions) error{
		config.WithRegion(location["region"]),
		config.WithHTTPClient(client),
	}
	if ca := location["caCert"]; ca != "" {
		options = append(options, config.WithCustomCABundle(bytes.NewReader([]byte(ca))))
	}
	if file := location["credentialsFile"]; file != "" {
		options = append(options,
			config.WithSharedCredentialsFiles([]string{file}),
			config.WithSharedConfigFiles([]string{file}))
	}
	if profile := location["profile"]; profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	return config.LoadDefaultConfig(context.Background(), options...)
}

func flag(location map[string]string, key string) (bool, error) {
	value := location[key]
	if value == "" {
		return false, nil
	}
	return strconv.ParseBool(value)
}
