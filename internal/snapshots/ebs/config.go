package ebs

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// configKeys are the keys of a VolumeSnapshotLocation. The OADP operator lets
// only the first of them into a location; the others have a variable as well.
func configKeys() config.Keys {
	keys := config.Keys{
		config.String("credentialsFile", "path of a credentials file; Velero sets it for spec.credential").Note("the environment's credentials"),
		config.String("profile", "profile of the credentials file").Note("AWS_PROFILE, else default"),
		config.String("region", "region of the volumes and snapshots").Required("missing region in aws configuration"),
		config.Unused("enableSharedConfig", "every file is read as credentials and as configuration"),
	}
	extensions := config.Keys{
		config.String("ebsKmsKeyId", "id, alias/NAME or ARN of a KMS key for the volumes that a restore makes").Note("the snapshot's, if it is encrypted"),
		config.Map("azMapping", ",", ":", "zones of the backup and those to restore into"),
		config.Custom("tags", "map k=v&k2=v2", "tags of each snapshot, and of the volumes made of it", parseTags),
		config.List("excludeTags", "tags that snapshots do not take over from volumes and backup labels; a * at the end stands for any text"),
		config.Duration("snapshotReadyTimeout", 10*time.Minute, "how long a restore waits for a snapshot that is not complete yet"),
		config.Duration("volumeCreationTimeout", 5*time.Minute, "how long a restore waits for a volume, to see that it is really made"),
		config.Duration("volumeCreationPollInterval", 2*time.Second, "pause between two looks at that volume"),
		config.URL("ec2Url", "endpoint of an EC2 service other than AWS, or of a VPC endpoint").Note("AWS"),
		config.String("caCert", "PEM certificates that are trusted besides the system's and AWS_CA_BUNDLE"),
		config.Bool("insecureSkipTLSVerify", "do not verify the certificate of the host of ec2Url, or of EC2; that of the token service is verified"),
	}
	for _, key := range extensions {
		keys = append(keys, key.OrEnv(variable(key.Name)))
	}
	return keys
}

// variables are the environment variables that set keys where the location does not.
var variables = map[string]string{
	"ebsKmsKeyId":                "OADP_AWS_VSL_EBS_KMS_KEY_ID",
	"azMapping":                  "OADP_AWS_VSL_AZ_MAPPING",
	"tags":                       "OADP_AWS_VSL_TAGS",
	"excludeTags":                "OADP_AWS_VSL_EXCLUDE_TAGS",
	"snapshotReadyTimeout":       "OADP_AWS_VSL_SNAPSHOT_READY_TIMEOUT",
	"volumeCreationTimeout":      "OADP_AWS_VSL_VOLUME_CREATION_TIMEOUT",
	"volumeCreationPollInterval": "OADP_AWS_VSL_VOLUME_CREATION_POLL_INTERVAL",
	"ec2Url":                     "OADP_AWS_VSL_EC2_URL",
	"caCert":                     "OADP_AWS_VSL_CA_CERT",
	"insecureSkipTLSVerify":      "OADP_AWS_VSL_INSECURE_SKIP_TLS_VERIFY",
}

// variable returns the environment variable for a key: OADP_AWS_VSL_EC2_URL for
// ec2Url.
func variable(key string) string { return variables[key] }

// settings are a checked configuration.
type settings struct {
	region   string
	endpoint string // "" for AWS
	access   awsaccess.Access
	trust    endpoint.Trust

	kmsKey      string
	zones       map[string]string
	tags        map[string]string
	excludeTags []string
	cluster     string

	snapshotReadyTimeout       time.Duration
	volumeCreationTimeout      time.Duration
	volumeCreationPollInterval time.Duration
}

// parseSettings makes all checks that need neither a file nor the network.
func parseSettings(m map[string]string) (settings, error) {
	v, err := configKeys().Parse(m)
	for from, to := range v.Map("azMapping") {
		if to == "" {
			err = errors.Join(err, config.Invalid("azMapping", v.String("azMapping"), fmt.Errorf("expected a zone to restore into after %q", from+":")))
		}
	}
	return settings{
		region:                     v.String("region"),
		endpoint:                   endpointOf(v.URL("ec2Url")),
		access:                     awsaccess.Access{CredentialsFile: v.String("credentialsFile"), Profile: v.String("profile")},
		trust:                      awsaccess.Trust(v.String("caCert"), v.Bool("insecureSkipTLSVerify"), "AWS_ENDPOINT_URL_EC2", v.String("ec2Url")),
		kmsKey:                     v.String("ebsKmsKeyId"),
		zones:                      v.Map("azMapping"),
		tags:                       config.Get[map[string]string](v, "tags"),
		excludeTags:                v.List("excludeTags"),
		cluster:                    os.Getenv("AWS_CLUSTER_NAME"),
		snapshotReadyTimeout:       v.Duration("snapshotReadyTimeout"),
		volumeCreationTimeout:      v.Duration("volumeCreationTimeout"),
		volumeCreationPollInterval: v.Duration("volumeCreationPollInterval"),
	}, err
}

func endpointOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

// zone returns the zone to restore into for one of the backup.
func (s *settings) zone(of string) string {
	if to, ok := s.zones[of]; ok {
		return to
	}
	return of
}

// parseTags checks the tags that every snapshot gets.
func parseTags(s string) (map[string]string, error) {
	tags := map[string]string{}
	for pair := range strings.SplitSeq(s, "&") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("expected tags of the form key=value&key2=value2, got %q", pair)
		}
		if err := checkTag(key, value); err != nil {
			return nil, err
		}
		if _, twice := tags[key]; twice {
			return nil, fmt.Errorf("expected each tag key once, got %q twice", key)
		}
		tags[key] = value
	}
	return tags, nil
}

// checkTag returns an error for a tag that EC2 refuses.
func checkTag(key, value string) error {
	switch {
	case key == "":
		return errors.New("expected tag keys that are not empty")
	case isReserved(key):
		return fmt.Errorf("expected tag keys without the reserved prefix aws:, got %q", key)
	case utf8.RuneCountInString(key) > maxTagKey:
		return fmt.Errorf("expected tag keys of at most %d characters, got %q", maxTagKey, key)
	case utf8.RuneCountInString(value) > maxTagValue:
		return fmt.Errorf("expected tag values of at most %d characters, got %d for the key %q", maxTagValue, utf8.RuneCountInString(value), key)
	}
	return nil
}
