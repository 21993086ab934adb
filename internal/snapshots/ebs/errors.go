package ebs

import (
	"errors"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package.
var (
	CodeNotReady = fault.Code{
		ID:      "EBS_NOT_INITIALIZED",
		Meaning: "A call came before the snapshotter had a configuration.",
		Fix:     "look in the log for the error of the initialization",
	}
	CodeAccessDenied = fault.Code{
		ID:      "EBS_ACCESS_DENIED",
		Meaning: "The credentials are valid, but not allowed to do this.",
		Fix: "allow ec2:DescribeVolumes, ec2:DescribeSnapshots, ec2:CreateTags, ec2:CreateVolume, ec2:CreateSnapshot and ec2:DeleteSnapshot; " +
			"aws sts decode-authorization-message decodes the cause",
	}
	CodeAuthFailure = fault.Code{
		ID:      "EBS_AUTH_FAILURE",
		Meaning: "EC2 does not accept the credentials.",
		Fix:     "correct aws_access_key_id and aws_secret_access_key, and check that the account has the region enabled",
	}
	CodeVolumeNotFound = fault.Code{
		ID:      "EBS_VOLUME_NOT_FOUND",
		Meaning: "The volume does not exist in the region and account of the location.",
		Fix:     "check region and credentials of the snapshot location: they have to be those of the cluster's volumes",
	}
	CodeSnapshotNotFound = fault.Code{
		ID:      "EBS_SNAPSHOT_NOT_FOUND",
		Meaning: "The snapshot does not exist in the region and account of the location.",
		Fix: "check region and credentials of the snapshot location: a snapshot stays in the region and account of its volume, " +
			"and copying it to others is not supported; to restore elsewhere back up with data movement or file system backup",
	}
	CodeSnapshotFailed = fault.Code{
		ID:      "EBS_SNAPSHOT_FAILED",
		Meaning: "EC2 could not complete the snapshot, so no volume can be made of it.",
		Fix:     "restore from another backup; take a new one of the volume",
	}
	CodeSnapshotPending = fault.Code{
		ID:      "EBS_SNAPSHOT_PENDING",
		Meaning: "The snapshot was not complete within the time limit.",
		Fix:     "restore again later, or raise snapshotReadyTimeout in the config of the snapshot location",
	}
	CodeSnapshotInUse = fault.Code{
		ID:      "EBS_SNAPSHOT_IN_USE",
		Meaning: "The snapshot cannot be deleted, since an image is made of it.",
		Fix:     "deregister the image that is named in the cause, and delete the backup again",
	}
	CodeKMS = fault.Code{
		ID:      "EBS_KMS_FAILED",
		Meaning: "EBS could not use the KMS key of the volume, and removed the volume that it had begun to create.",
		Fix: "allow kms:Decrypt, kms:ReEncrypt*, kms:GenerateDataKey*, kms:CreateGrant and kms:DescribeKey on the keys of the snapshot and of the volume, " +
			"in the policy of the credentials and in that of the key, and check that the key is enabled",
	}
	CodeVolumeFailed = fault.Code{
		ID:      "EBS_VOLUME_FAILED",
		Meaning: "EC2 accepted the volume but could not create it.",
		Fix:     "look into CloudTrail and the events of EBS for the volume, and restore again",
	}
	CodeZoneMissing = fault.Code{
		ID:      "EBS_ZONE_UNKNOWN",
		Meaning: "Neither the backup nor the snapshot says in which availability zone the volume was.",
		Fix:     "tag the snapshot with velero.io/ebs-az and the zone to restore into",
	}
	CodeZoneInvalid = fault.Code{
		ID:      "EBS_ZONE_INVALID",
		Meaning: "The availability zone does not exist in the region, or cannot have such a volume.",
		Fix:     "map the zone to one that the cluster has: azMapping in the config of the snapshot location",
	}
	CodeLimit = fault.Code{
		ID:      "EBS_LIMIT_EXCEEDED",
		Meaning: "A quota of the account for snapshots, volumes, capacity or IOPS is used up.",
		Fix:     "raise the quota in Service Quotas, or let backups expire earlier; too many snapshots at a time need fewer backups at a time",
	}
	CodeRefused = fault.Code{
		ID:      "EBS_REQUEST_REFUSED",
		Meaning: "EC2 refuses the request as it is: an id, a type, a size, IOPS or a tag that it does not allow.",
		Fix: "see the cause; type and IOPS of a new volume are those of the volume that was backed up, its throughput is in the tag " +
			"velero.io/ebs-throughput of the snapshot, and excludeTags leaves tags out",
	}
	CodePersistentVolume = fault.Code{
		ID:      "EBS_PV_UNSUPPORTED",
		Meaning: "The PersistentVolume is not one of EBS, or names no volume.",
		Fix:     "use a snapshot location of the volume's own provider, or back the volume up through CSI or the file system",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeNotReady, CodeAccessDenied, CodeAuthFailure, CodeVolumeNotFound, CodeSnapshotNotFound, CodeSnapshotFailed,
	CodeSnapshotPending, CodeSnapshotInUse, CodeKMS, CodeVolumeFailed, CodeZoneMissing, CodeZoneInvalid, CodeLimit,
	CodeRefused, CodePersistentVolume,
}

// rateExceeded is the error code with which EC2 refuses a snapshot of a volume within
// 15 seconds of the last one. The SDK does not know it as a code for throttling.
const rateExceeded = "SnapshotCreationPerVolumeRateExceeded"

// apiCodes maps what EC2 answers, besides what package awsaccess knows.
var apiCodes = map[string]fault.Code{
	"UnauthorizedOperation":           CodeAccessDenied,
	"AuthFailure":                     CodeAuthFailure,
	"OptInRequired":                   CodeAuthFailure,
	"InvalidVolume.NotFound":          CodeVolumeNotFound,
	"InvalidVolumeID.Malformed":       CodeVolumeNotFound,
	"InvalidSnapshot.NotFound":        CodeSnapshotNotFound,
	"InvalidSnapshotID.Malformed":     CodeSnapshotNotFound,
	"InvalidSnapshot.InUse":           CodeSnapshotInUse,
	"InvalidZone.NotFound":            CodeZoneInvalid,
	"VolumeTypeNotAvailableInZone":    CodeZoneInvalid,
	"InsufficientVolumeCapacity":      CodeLimit,
	"ConcurrentSnapshotLimitExceeded": CodeLimit,
	"PendingSnapshotLimitExceeded":    CodeLimit,
	"SnapshotLimitExceeded":           CodeLimit,
	"VolumeLimitExceeded":             CodeLimit,
	"MaxIOPSLimitExceeded":            CodeLimit,
	"RequestLimitExceeded":            endpoint.CodeBusy,
	"Unavailable":                     endpoint.CodeBusy,
	"ServiceUnavailable":              endpoint.CodeBusy,
	"InternalError":                   endpoint.CodeBusy,
	"InternalFailure":                 endpoint.CodeBusy,
	rateExceeded:                      endpoint.CodeBusy,
	"UnknownVolumeType":               CodeRefused,
	"MissingParameter":                CodeRefused,
	"InvalidParameterCombination":     CodeRefused,
	"InvalidParameterDependency":      CodeRefused,
	"InvalidParameterValue":           CodeRefused,
	"TagLimitExceeded":                CodeRefused,
}

// names are the settings that errors of the network speak of.
var names = endpoint.Settings{
	Address: "ec2Url or region",
	CACert:  "the config key caCert of the snapshot location, or " + variable("caCert"),
	Skip:    "insecureSkipTLSVerify",
	Busy:    "try again later; AWS_MAX_ATTEMPTS in Velero's environment raises the number of attempts",
}

// explain returns err as an error that says what failed and what to do.
func explain(what string, err error) error {
	if err == nil {
		return nil
	}
	api := awsaccess.Answer(err)
	if api == nil {
		return awsaccess.Fault(what, err, names)
	}
	f := &fault.Error{Code: codeOf(err, api), What: what, Err: awsaccess.Plain(err)}
	switch f.Code.ID {
	case CodeAccessDenied.ID:
		f.Fix = allow(err)
	case endpoint.CodeBusy.ID:
		f.Fix = names.Busy
	}
	return f
}

func codeOf(err error, api smithy.APIError) fault.Code {
	if code, ok := apiCodes[api.ErrorCode()]; ok {
		return code
	}
	if strings.Contains(strings.ToLower(api.ErrorCode()+api.ErrorMessage()), "kms") {
		return CodeKMS
	}
	if code := awsaccess.APICode(api.ErrorCode()); code.ID != "" {
		return code
	}
	switch status := awsaccess.Status(err); {
	case status == http.StatusForbidden:
		return CodeAccessDenied
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests:
		return endpoint.CodeBusy
	}
	return fault.Code{}
}

// allow returns the fix for a missing permission: "allow ec2:CreateTags on arn:...".
// It returns "" when EC2 names the permission only in the encoded part of its
// message.
func allow(err error) string {
	action, resource := awsaccess.Denied(err)
	switch {
	case action == "":
		return ""
	case resource == "":
		return "allow " + action
	}
	return "allow " + action + " on " + resource
}

// answered reports whether err is an answer of EC2 with this error code.
func answered(err error, code string) bool {
	api := awsaccess.Answer(err)
	return api != nil && api.ErrorCode() == code
}

// ambiguous reports whether a request that failed may have been carried out.
func ambiguous(err error) bool {
	var (
		sent   *smithyhttp.RequestSendError
		answer *smithy.DeserializationError
	)
	switch api := awsaccess.Answer(err); {
	case awsaccess.AboutCredentials(err):
		return false
	case api != nil:
		return awsaccess.Status(err) >= http.StatusInternalServerError && api.ErrorCode() != "RequestLimitExceeded"
	case endpoint.IsDial(err):
		return false
	}
	return errors.As(err, &sent) || errors.As(err, &answer)
}
