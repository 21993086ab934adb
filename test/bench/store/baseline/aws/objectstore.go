package main

//lint:file-ignore SA1019 the deprecated uploader is the one that the plugins in use today are built on.

import (
	"context"
	"errors"
	"io"
	"sort"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/sirupsen/logrus"
)

type objectStore struct {
	log       logrus.FieldLogger
	client    *s3.Client
	uploader  *manager.Uploader
	presigner *s3.PresignClient
	checksum  types.ChecksumAlgorithm
}

func (o *objectStore) Init(location map[string]string) error {
	cfg, err := loadConfig(location)
	if err != nil {
		return err
	}
	pathStyle, err := flag(location, "s3ForcePathStyle")
	if err != nil {
		return err
	}
	o.checksum = types.ChecksumAlgorithmCrc32
	if algorithm, set := location["checksumAlgorithm"]; set {
		o.checksum = types.ChecksumAlgorithm(algorithm)
	}
	o.client = s3.NewFromConfig(cfg, func(options *s3.Options) {
		options.UsePathStyle = pathStyle
		if endpoint := location["s3Url"]; endpoint != "" {
			options.BaseEndpoint = aws.String(endpoint)
		}
	})
	o.uploader = manager.NewUploader(o.client)
	o.presigner = s3.NewPresignClient(o.client)
	return nil
}

func (o *objectStore) PutObject(bucket, key string, body io.Reader) error {
	_, err := o.uploader.Upload(context.Background(), &s3.PutObjectInput{
		Bucket:            aws.String(bucket),
		Key:               aws.String(key),
		Body:              body,
		ChecksumAlgorithm: o.checksum,
	})
	return err
}

func (o *objectStore) ObjectExists(bucket, key string) (bool, error) {
	_, err := o.client.HeadObject(context.Background(), &s3.HeadObjectInput{
		Bucket: aws.String(bucket),
		Key:    aws.String(key),
	})
	var notFound *types.NotFound
	if errors.As(err, &notFound) {
		return false, nil
	}
	return err == nil, err
}

func (o *objectStore) GetObject(bucket, key string) (io.ReadCloser, error) {
	object, err := o.client.GetObject(context.Background(), &s3.GetObjectInput{
		Bucket: aws.String(bucket),
		Key:    aws.String(key),
	})
	if err != nil {
		return nil, err
	}
	return object.Body, nil
}

func (o *objectStore) ListCommonPrefixes(bucket, prefix, delimiter string) ([]string, error) {
	var prefixes []string
	err := o.eachPage(&s3.ListObjectsV2Input{
		Bucket:    aws.String(bucket),
		Prefix:    aws.String(prefix),
		Delimiter: aws.String(delimiter),
	}, func(page *s3.ListObjectsV2Output) {
		for _, common := range page.CommonPrefixes {
			prefixes = append(prefixes, aws.ToString(common.Prefix))
		}
	})
	return prefixes, err
}

func (o *objectStore) ListObjects(bucket, prefix string) ([]string, error) {
	var keys []string
	err := o.eachPage(&s3.ListObjectsV2Input{
		Bucket: aws.String(bucket),
		Prefix: aws.String(prefix),
	}, func(page *s3.ListObjectsV2Output) {
		for _, object := range page.Contents {
			keys = append(keys, aws.ToString(object.Key))
		}
	})
	sort.Sort(sort.Reverse(sort.StringSlice(keys)))
	return keys, err
}

func (o *objectStore) eachPage(input *s3.ListObjectsV2Input, visit func(*s3.ListObjectsV2Output)) error {
	pages := s3.NewListObjectsV2Paginator(o.client, input)
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return err
		}
		visit(page)
	}
	return nil
}

func (o *objectStore) DeleteObject(bucket, key string) error {
	_, err := o.client.DeleteObject(context.Background(), &s3.DeleteObjectInput{
		Bucket: aws.String(bucket),
		Key:    aws.String(key),
	})
	return err
}

func (o *objectStore) CreateSignedURL(bucket, key string, ttl time.Duration) (string, error) {
	request, err := o.presigner.PresignGetObject(context.Background(), &s3.GetObjectInput{
		Bucket: aws.String(bucket),
		Key:    aws.String(key),
	}, s3.WithPresignExpires(ttl))
	if err != nil {
		return "", err
	}
	return request.URL, nil
}
