package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

const mib = 1 << 20

// checksumAlgorithms is a list of our own: the SDK's enumeration also has
// algorithms that it cannot compute.
var checksumAlgorithms = []string{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"}

// configKeys are the keys of a BackupStorageLocation.
func configKeys() config.Keys {
	return config.Keys{
		config.String("bucket", "name of the bucket").SetByVelero(),
		config.String("prefix", "folder in the bucket; keys arrive with it").SetByVelero(),
		config.String("caCert", "PEM certificates that are trusted besides the system's and AWS_CA_BUNDLE").SetByVelero(),
		config.String("credentialsFile", "path of a credentials file, set for spec.credential").Note("the environment's credentials"),
		config.String("profile", "profile of the credentials file").Note("AWS_PROFILE, else default"),
		config.String("region", "region of the bucket, also the signing region").Note("discovered; with s3Url AWS_REGION, the profile's region or us-east-1"),
		config.URL("s3Url", "endpoint of an S3 service other than AWS").Note("AWS"),
		config.URL("publicUrl", "endpoint that signed URLs point to").Note("s3Url"),
		config.Bool("s3ForcePathStyle", "address the bucket in the path, also for publicUrl"),
		config.Bool("insecureSkipTLSVerify", "do not verify the certificate of the hosts of s3Url and publicUrl, or of S3; that of the token service is verified"),
		config.String("serverSideEncryption", "value of x-amz-server-side-encryption: AES256, aws:kms, aws:kms:dsse").Note("the bucket's default"),
		config.String("kmsKeyId", "id, alias/NAME or ARN of a KMS key; implies aws:kms"),
		config.String("customerKeyEncryptionFile", "file whose first 32 bytes are the SSE-C key"),
		config.Custom("customerKeyEncryptionSecret", "NAME/KEY", "key of a secret in Velero's namespace that holds the 32 bytes of the SSE-C key", parseSecretKey),
		config.Custom("tagging", "map k=v&k2=v2", "tags of each object, at most 10; needs s3:PutObjectTagging", parseTagging),
		config.Choice("checksumAlgorithm", "checksum header of uploads; empty: none, the payload is signed instead", checksumAlgorithms...).
			Or("CRC32").AllowEmpty(),
		config.Int("multipartPartSizeMiB", 5, 5, 5120, "size of an uploaded part; memory is this times multipartConcurrency+1"),
		config.Int("multipartConcurrency", 8, 1, 32, "parts on their way while the next one is read"),
		config.Custom("storageClass", "string", "storage class of the objects; not one that needs a restore request", parseStorageClass).Note("the bucket's default"),
		config.Choice("acl", "canned access control list of the objects", "private", "public-read", "public-read-write",
			"authenticated-read", "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control"),
		config.Unused("enableSharedConfig", "every file is read as credentials and as configuration"),
		config.Unused("signatureVersion", "only version 4 exists"),
		config.Unused("resticRepoPrefix", "read by Velero itself"),
	}
}

// settings are a checked configuration.
type settings struct {
	bucket         string
	prefix         string
	region         string
	endpoint       string // "" for AWS
	publicEndpoint string // "" for endpoint
	pathStyle      bool

	trust  endpoint.Trust
	access awsaccess.Access

	encryption        encryption
	customerKeyFile   string
	customerKeySecret secretKey

	tagging      string
	storageClass string
	acl          string
	checksum     checksumMode

	partSize    int // bytes
	concurrency int

	warnings []string
}

// parseSettings makes all checks that need neither a file nor the network.
func parseSettings(m map[string]string) (settings, error) {
	v, err := configKeys().Parse(m)
	s := settings{
		bucket:            v.String("bucket"),
		prefix:            v.String("prefix"),
		region:            v.String("region"),
		endpoint:          endpointOf(v.URL("s3Url")),
		publicEndpoint:    endpointOf(v.URL("publicUrl")),
		pathStyle:         v.Bool("s3ForcePathStyle"),
		trust:             awsaccess.Trust(v.String("caCert"), v.Bool("insecureSkipTLSVerify"), "AWS_ENDPOINT_URL_S3", v.String("s3Url"), v.String("publicUrl")),
		access:            awsaccess.Access{CredentialsFile: v.String("credentialsFile"), Profile: v.String("profile")},
		encryption:        newEncryption(v.String("serverSideEncryption"), v.String("kmsKeyId")),
		customerKeyFile:   v.String("customerKeyEncryptionFile"),
		customerKeySecret: config.Get[secretKey](v, "customerKeyEncryptionSecret"),
		tagging:           config.Get[string](v, "tagging"),
		storageClass:      config.Get[string](v, "storageClass"),
		acl:               v.String("acl"),
		checksum:          checksumMode{algorithm: v.String("checksumAlgorithm"), fixed: v.Has("checksumAlgorithm")},
		partSize:          v.Int("multipartPartSizeMiB") * mib,
		concurrency:       v.Int("multipartConcurrency"),
	}
	err = errors.Join(err, v.AtMostOne("kmsKeyId", "customerKeyEncryptionFile", "customerKeyEncryptionSecret"))

	if isDirectoryBucket(s.bucket) && s.checksum.algorithm == "" {
		s.checksum.algorithm = "CRC32" // directory buckets refuse uploads without
	}
	if version := v.String("signatureVersion"); version != "" && version != "4" && version != "v4" {
		s.warn("config key signatureVersion is ignored: requests are signed with version 4, not with version %q", version)
	}
	for _, key := range []string{"s3Url", "publicUrl"} {
		if u := v.URL(key); u != nil && strings.Trim(u.Path, "/") != "" {
			s.warn("%s has the path %q, which most stores take for the name of a bucket, and which Velero's file system backups refuse: leave it out", key, u.Path)
		}
	}
	if u := v.URL("s3Url"); u != nil && s.bucket != "" && strings.HasPrefix(u.Hostname(), s.bucket+".") {
		s.warn("s3Url has the name of the bucket in its host %q: leave it out, as the bucket is put in front of the host, or into the path, by itself", u.Hostname())
	}
	if strings.HasPrefix(s.endpoint, "http://") && (s.customerKeyFile != "" || s.customerKeySecret.name != "") {
		s.warn("s3Url is not an https URL: servers refuse a customer-provided encryption key over plain HTTP")
	}
	return s, err
}

func (s *settings) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

func endpointOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	return strings.TrimRight(u.String(), "/")
}

// isDirectoryBucket tells S3 Express One Zone buckets by the form of their name.
func isDirectoryBucket(bucket string) bool { return strings.HasSuffix(bucket, "--x-s3") }

func parseStorageClass(class string) (string, error) {
	switch class {
	case "GLACIER", "DEEP_ARCHIVE":
		return "", errors.New("expected a class whose objects can be read at once, such as STANDARD_IA or GLACIER_IR")
	}
	if strings.ContainsFunc(class, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("expected the name of a storage class, such as STANDARD_IA")
	}
	return class, nil
}
