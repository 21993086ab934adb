package azblob

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package.
var (
	CodeNotReady = fault.Code{
		ID:      "AZBLOB_NOT_INITIALIZED",
		Meaning: "A call came before the store had a configuration.",
		Fix:     "look in the log for the error of the initialization",
	}
	CodeAccountKey = fault.Code{
		ID:      "AZBLOB_ACCOUNT_KEY",
		Meaning: "The key of the storage account cannot be used or looked up.",
		Fix:     "copy a key of the storage account (az storage account keys list) into the secret of the credentials",
	}
	CodeNoSuchContainer = fault.Code{
		ID:      "AZBLOB_NO_SUCH_CONTAINER",
		Meaning: "The container is not in the storage account.",
		Fix:     "create the container, or correct objectStorage.bucket of the location",
	}
	CodeNoSuchBlob = fault.Code{
		ID:      "AZBLOB_NO_SUCH_BLOB",
		Meaning: "The object does not exist.",
		Fix:     "check that the backup is complete and that container and prefix of the location are right",
	}
	CodeAuthentication = fault.Code{
		ID:      "AZBLOB_AUTHENTICATION_FAILED",
		Meaning: "The service does not accept the account key, the token or the shared access signature.",
		Fix:     "check that the key is of this storage account and was not renewed, that the signature has not expired, and the clock of the node",
	}
	CodeDenied = fault.Code{
		ID:      "AZBLOB_ACCESS_DENIED",
		Meaning: "The identity is valid, but not allowed to do this with the container.",
		Fix:     "assign the role Storage Blob Data Contributor on the container; a role needs some minutes to take effect",
	}
	CodeKeysDisabled = fault.Code{
		ID:      "AZBLOB_KEYS_DISABLED",
		Meaning: "The storage account takes no account keys.",
		Fix:     `set useAAD to "true" in the config of the location, and assign the role Storage Blob Data Contributor on the container`,
	}
	CodeFirewall = fault.Code{
		ID:      "AZBLOB_NETWORK_DENIED",
		Meaning: "The network rules of the storage account refuse this machine.",
		Fix:     "add the network of the cluster to the networking rules of the storage account, or use a private endpoint; who downloads logs needs to be allowed as well",
	}
	CodeImmutable = fault.Code{
		ID:      "AZBLOB_IMMUTABLE",
		Meaning: "An immutability policy or a legal hold protects the object.",
		Fix:     "wait for the end of the retention, or use a version-level policy with versioning, which lets Velero write new versions: a policy on the whole container refuses to overwrite and to delete",
	}
	CodeLeased = fault.Code{
		ID:      "AZBLOB_LEASED",
		Meaning: "Somebody holds a lease on the object, so that it cannot be changed.",
		Fix:     "break the lease (az storage blob lease break), and keep other tools from the container of the backups",
	}
	CodeSnapshots = fault.Code{
		ID:      "AZBLOB_HAS_SNAPSHOTS",
		Meaning: "The object has snapshots of its own, so that it cannot be deleted.",
		Fix:     "delete the snapshots of the blob, and keep other tools from the container of the backups",
	}
	CodeLeftovers = fault.Code{
		ID:      "AZBLOB_FOREIGN_BLOCKS",
		Meaning: "Another program writes the same object, or has left blocks of it behind.",
		Fix:     "make sure that one Velero only writes to the location; blocks that were left behind go away after a week, or when the blob is deleted",
	}
	CodeArchived = fault.Code{
		ID:      "AZBLOB_ARCHIVED",
		Meaning: "The object is in the archive tier and cannot be read at once.",
		Fix:     "rehydrate the blob (az storage blob set-tier), and exclude backups/ from the rule that archives blobs",
	}
	CodeChanged = fault.Code{
		ID:      "AZBLOB_CHANGED",
		Meaning: "The object was replaced while it was read.",
		Fix:     "try again, and make sure that one Velero only writes to the location",
	}
	CodeDamaged = fault.Code{
		ID:      "AZBLOB_DAMAGED",
		Meaning: "The service received other bytes than were sent, and refused them.",
		Fix:     "try again; if it happens again, look for a proxy that changes requests and for faulty memory or network hardware",
	}
	CodeTooLarge = fault.Code{
		ID:      "AZBLOB_TOO_LARGE",
		Meaning: "The object needs more blocks than Blob storage allows.",
		Fix:     "raise blockSizeInBytes in the config of the location",
	}
	CodeBusy = fault.Code{
		ID:      "AZBLOB_BUSY",
		Meaning: "The service kept failing or asking to slow down, also after several attempts.",
		Fix:     "try again later; look at the load of the storage account",
	}
	CodeFalseAnswer = fault.Code{
		ID:      "AZBLOB_FALSE_ANSWER",
		Meaning: "Something answers that is not Blob storage, or breaks its rules.",
		Fix:     "check that storageAccountURI is the address of Blob storage, and look for a proxy between Velero and it",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeNotReady, CodeAccountKey, CodeNoSuchContainer, CodeNoSuchBlob, CodeAuthentication, CodeDenied, CodeKeysDisabled,
	CodeFirewall, CodeImmutable, CodeLeased, CodeSnapshots, CodeLeftovers, CodeArchived, CodeChanged, CodeDamaged,
	CodeTooLarge, CodeBusy, CodeFalseAnswer,
}

const (
	blobNotFound      = "BlobNotFound"
	containerNotFound = "ContainerNotFound"
)

// serviceCodes maps what Blob storage answers.
var serviceCodes = map[string]fault.Code{
	blobNotFound:                             CodeNoSuchBlob,
	containerNotFound:                        CodeNoSuchContainer,
	"ContainerBeingDeleted":                  CodeNoSuchContainer,
	"ContainerDisabled":                      CodeNoSuchContainer,
	"InvalidResourceName":                    CodeNoSuchContainer,
	"AuthenticationFailed":                   CodeAuthentication,
	"InvalidAuthenticationInfo":              CodeAuthentication,
	"NoAuthenticationInformation":            CodeAuthentication,
	"AuthorizationProtocolMismatch":          CodeAuthentication,
	"AuthorizationPermissionMismatch":        CodeDenied,
	"InsufficientAccountPermissions":         CodeDenied,
	"AuthorizationResourceTypeMismatch":      CodeDenied,
	"AuthorizationServiceMismatch":           CodeDenied,
	"UnauthorizedBlobOverwrite":              CodeDenied,
	"KeyBasedAuthenticationNotPermitted":     CodeKeysDisabled,
	"AuthorizationSourceIPMismatch":          CodeFirewall,
	"PublicAccessNotPermitted":               CodeFirewall,
	"BlobImmutableDueToPolicy":               CodeImmutable,
	"BlobImmutableDueToLegalHold":            CodeImmutable,
	"OperationNotAllowedOnImmutableResource": CodeImmutable,
	"LeaseIdMissing":                         CodeLeased,
	"LeaseAlreadyPresent":                    CodeLeased,
	"SnapshotsPresent":                       CodeSnapshots,
	"InvalidBlobOrBlock":                     CodeLeftovers,
	"InvalidBlockList":                       CodeLeftovers,
	"BlobArchived":                           CodeArchived,
	"BlobBeingRehydrated":                    CodeArchived,
	"ConditionNotMet":                        CodeChanged,
	"Md5Mismatch":                            CodeDamaged,
	"Crc64Mismatch":                          CodeDamaged,
	"BlockCountExceedsLimit":                 CodeTooLarge,
	"BlockListTooLong":                       CodeTooLarge,
	"ServerBusy":                             CodeBusy,
	"OperationTimedOut":                      CodeBusy,
	"InternalError":                          CodeBusy,
}

// bareNotFound is the error for an answer 404 about a blob that says no more.
type bareNotFound struct{ err error }

func (e *bareNotFound) Error() string { return blobNotFound + ": " + azureaccess.Plain(e.err).Error() }
func (e *bareNotFound) Unwrap() error { return e.err }

// explain returns err as an error that says what failed and what to do.
func (l *location) explain(what string, err error) error {
	return answer.Reword(l.explained(what, err))
}

func (l *location) explained(what string, err error) error {
	if err == nil {
		return nil
	}
	var (
		source *transfer.SourceError
		known  *fault.Error
		page   *answer.Page
		bare   *bareNotFound
	)
	f := &fault.Error{What: what, Err: azureaccess.Plain(err)}
	switch {
	case errors.As(err, &source):
		return fmt.Errorf("%s: %w", what, source.Err)
	case errors.As(err, &known):
		return fmt.Errorf("%s: %w", what, known) // without the SDK's words around it
	case errors.As(err, &bare):
		f.Code, f.Err = CodeNoSuchBlob, answer.Absent(bare)
	case errors.As(err, &page):
		f.Code, f.Fix, f.Err = CodeFalseAnswer, page.Fix("storageAccountURI", 0), page
	case errors.Is(err, transfer.ErrChanged):
		f.Code = CodeChanged
	case errors.Is(err, transfer.ErrTooLarge):
		f.Code = CodeTooLarge
	case isFalse(err):
		f.Code = CodeFalseAnswer
	case azureaccess.Status(err) == 0:
		return azureaccess.Settings.Fault(what, err)
	default:
		f.Code, f.Fix = l.classify(err)
		if f.Code.ID == CodeNoSuchBlob.ID {
			f.Err = answer.Absent(f.Err)
		}
	}
	return f
}

// isFalse reports whether the server broke a rule with its answer.
func isFalse(err error) bool {
	for _, rule := range []error{answer.ErrRangeUnknown, answer.ErrRangeWrong, answer.ErrLengthUnknown, answer.ErrEncoded, errNotABlob, errNoETag, errNoProgress} {
		if errors.Is(err, rule) {
			return true
		}
	}
	return false
}

// classify finds the code and, where the configuration matters, the fix for an
// answer of the service.
func (l *location) classify(err error) (code fault.Code, fix string) {
	name, status := azureaccess.ErrorCode(err), azureaccess.Status(err)
	code, ok := serviceCodes[name]
	switch {
	case ok:
	case name == "AuthorizationFailure":
		// The service says this of signatures that it does not take and of networks
		// that it does not know.
		code = CodeAuthentication
		fix = CodeAuthentication.Fix + "; or " + CodeFirewall.Fix
	case status == http.StatusUnauthorized:
		code = CodeAuthentication
	case status == http.StatusForbidden:
		code = CodeDenied
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		code = CodeBusy
	}
	switch {
	case name == "BlobImmutableDueToLegalHold":
		fix = "clear the legal hold (az storage container legal-hold clear), or wait until it is cleared: no policy lets Velero write or delete meanwhile"
	case code.ID == CodeAuthentication.ID && l.account.sas != "":
		fix = "make a new shared access signature of the container with the permissions racwdl, and put it into the secret of the credentials"
	case code.ID == CodeAuthentication.ID && strings.Contains(azureaccess.Message(err), "Request date header too old"):
		return endpoint.CodeClock, ""
	case code.ID == CodeDenied.ID && l.account.sas != "":
		fix = "give the shared access signature the permissions racwdl on the container"
	}
	return code, fix
}

// plain reports whether the endpoint is reached without encryption.
func (l *location) plain() bool { return strings.HasPrefix(l.account.endpoint, "http://") }
