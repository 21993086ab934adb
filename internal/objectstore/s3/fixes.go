package s3

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// fix returns what to do about an error of a code with the configuration of this
// location, or "" where the code's own fix helps with each. It names only steps
// that can help: it removes what is set, and corrects s3Url where there is one.
func (l *location) fix(code fault.Code, err error) string {
	set := l.settings
	switch code.ID {
	case CodeAccessDenied.ID:
		return l.allow(err)
	case CodeKMS.ID:
		if deniedAction(err) != "" {
			return l.allow(err)
		}
		if l.encryption.kmsKey == nil {
			return "check the KMS key of the bucket's default encryption: that it is enabled and in the bucket's region, and allow kms:GenerateDataKey and kms:Decrypt on it"
		}
	case CodeWrongRegion.ID:
		return l.correctRegion(regionOf(err))
	case CodeNoSuchBucket.ID, endpoint.CodeUnresolvable.ID:
		if l.hostHasBucket() {
			return fmt.Sprintf("remove the name of the bucket from the host in s3Url: it is put in front of the host by itself, and with s3ForcePathStyle %q into the path", "true")
		}
		if code.ID == endpoint.CodeUnresolvable.ID {
			return l.correctHost()
		}
	case endpoint.CodeRefused.ID:
		if set.endpoint == "" {
			return "check the proxy variables of Velero's environment and the firewall: nothing of AWS refuses connections"
		}
		return "check that the store runs, and the host and port of s3Url"
	case endpoint.CodeNotTLS.ID:
		if set.endpoint == "" {
			return "look for a proxy between Velero and AWS that answers in plain HTTP"
		}
		return "correct the scheme or the port of s3Url: https:// needs a port that speaks TLS, http:// one that does not"
	case CodeAddressing.ID:
		if set.pathStyle {
			return `set s3ForcePathStyle to "false" in the config of the location, so that the bucket is part of the host`
		}
		return `set s3ForcePathStyle to "true" in the config of the location, so that the bucket is part of the path`
	case CodeEncryption.ID:
		return l.checkEncryption()
	case CodeUnsupported.ID:
		return l.leaveOut()
	case endpoint.CodeBusy.ID:
		if l.sumsUploads() && awsaccess.Status(err) == http.StatusInternalServerError && isUpload(err) {
			return set.names().Busy + `; if uploads fail and other requests do not, set checksumAlgorithm to "" in the config of the location, as some stores fail over checksum headers`
		}
		return set.names().Busy
	case CodeNotStore.ID, CodeFalseAnswer.ID:
		if set.endpoint == "" {
			return "look for a proxy or a cache between Velero and AWS that answers in its place or changes its answers"
		}
	}
	return ""
}

// isUpload reports whether a request failed that stores something.
func isUpload(err error) bool {
	var operation *smithy.OperationError
	if !errors.As(err, &operation) {
		return false
	}
	switch operation.Operation() {
	case "PutObject", "CreateMultipartUpload", "UploadPart":
		return true
	}
	return false
}

// correctRegion is the fix for requests to, or signed for, another region than the
// bucket's, which is "" if the server did not name it.
func (l *location) correctRegion(right string) string {
	switch {
	case right != "":
		return fmt.Sprintf("set region to %s in the config of the location", right)
	case l.settings.endpoint != "":
		return fmt.Sprintf("set region in the config of the location to the one that the store at s3Url is configured with; requests are signed for %s now", l.region)
	case l.settings.region != "":
		return "correct region in the config of the location, or remove it to have it discovered"
	}
	return fmt.Sprintf("set region in the config of the location to that of the bucket; %s was discovered", l.region)
}

// correctHost is the fix for a host that no name server knows.
func (l *location) correctHost() string {
	switch {
	case l.settings.endpoint == "" && l.settings.region != "":
		return "correct region in the config of the location, which is part of the host's name, and check that Velero's pod can resolve names outside of the cluster"
	case l.settings.endpoint == "":
		return "check that Velero's pod can resolve names outside of the cluster"
	case l.settings.pathStyle:
		return "correct the host of s3Url, and check that Velero's pod can resolve it"
	}
	return `correct the host of s3Url; for a store that has no name for each bucket set s3ForcePathStyle to "true" in the config of the location`
}

// hostHasBucket reports whether s3Url names the bucket in its host, as in
// https://BUCKET.store.example.com.
func (l *location) hostHasBucket() bool {
	u, err := url.Parse(l.settings.endpoint)
	return err == nil && l.settings.bucket != "" && strings.HasPrefix(u.Hostname(), l.settings.bucket+".")
}

// checkEncryption is the fix for an encryption that the server refuses.
func (l *location) checkEncryption() string {
	set := l.settings
	switch {
	case l.encryption.customer.key != nil && strings.HasPrefix(set.endpoint, "http://"):
		return "give an https:// address in s3Url: servers take a customer key over TLS only"
	case set.customerKeyFile != "":
		return "check customerKeyEncryptionFile: the key must be the one that the object was written with, and the store must support customer keys"
	case l.encryption.customer.key != nil:
		return "check customerKeyEncryptionSecret: the key must be the one that the object was written with, and the store must support customer keys"
	case l.encryption.kmsKey != nil:
		return "check kmsKeyId, or remove it if the store does not support KMS keys"
	case l.encryption.algorithm != nil:
		return "correct serverSideEncryption, or remove it if the store does not support it"
	}
	return "give the key that the object was written with in customerKeyEncryptionFile or customerKeyEncryptionSecret, if it was written with one"
}

// leaveOut is the fix for something that the server does not support.
func (l *location) leaveOut() string {
	var keys []string
	for _, option := range []struct {
		key string
		set bool
	}{
		{"tagging", l.tagging != nil},
		{"storageClass", l.storageClass != ""},
		{"acl", l.acl != ""},
		{"serverSideEncryption", l.settings.encryption.algorithm != nil && l.settings.encryption.kmsKey == nil},
		{"kmsKeyId", l.settings.encryption.kmsKey != nil},
	} {
		if option.set {
			keys = append(keys, option.key)
		}
	}
	fix := ""
	if len(keys) > 0 {
		fix = "remove " + strings.Join(keys, " or ") + " from the config of the location"
	}
	if l.sumsUploads() {
		if fix != "" {
			fix += ", or "
		}
		fix += `set checksumAlgorithm to "" in the config of the location`
	}
	if fix == "" {
		return "look up the code that the server gives in the documentation of the store: no setting of the location asks for more than S3 itself"
	}
	return fix
}

// sumsUploads reports whether uploads have a checksum header.
func (l *location) sumsUploads() bool {
	return l.integrity != nil && l.integrity.mode.Load().algorithm != "" && !isDirectoryBucket(l.settings.bucket)
}
