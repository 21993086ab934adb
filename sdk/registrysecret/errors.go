package registrysecret

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

const (
	switchOff     = "set spec.backupImages of the DPA to false, or annotate image streams with openshift.io/skip-image-copy=true"
	setCredential = "set spec.credential of the backup storage location to a secret in its namespace"
)

// Codes of the errors of this package; errors.Is tells whether an error has one.
var (
	NoCredential = fault.Code{
		ID:      "IMAGE_CREDENTIAL_NOT_FOUND",
		Meaning: "No source has a credential with which images can reach the bucket of a backup storage location.",
		Fix:     "make one of the listed sources work; spec.credential of the backup storage location is the simplest",
	}
	UnmanagedLocation = fault.Code{
		ID:      "REGISTRY_SECRET_UNMANAGED_LOCATION",
		Meaning: "A backup storage location has no registry secret, since no DPA manages it.",
		Fix:     "label the location with app.kubernetes.io/component=bsl alone and let the DPA reconcile, or set spec.credential",
	}
	NonAdminLocation = fault.Code{
		ID:      "REGISTRY_SECRET_NON_ADMIN_LOCATION",
		Meaning: "A backup storage location of the non-admin controller never has a registry secret, and its credential gives no access.",
		Fix:     setCredential,
	}
	NotReconciled = fault.Code{
		ID:      "REGISTRY_SECRET_NOT_RECONCILED",
		Meaning: "A backup storage location is labelled for the DPA and yet has no registry secret.",
		Fix:     "look at condition Reconciled of the DPA and check that spec.backupImages is not false",
	}
	RegistryIncomplete = fault.Code{
		ID:      "REGISTRY_SECRET_INCOMPLETE",
		Meaning: "Keys of a registry secret are absent or empty. That is normal for STS and workload identity.",
		Fix:     "let the DPA reconcile, or " + setCredential,
	}
	UnsupportedProvider = fault.Code{
		ID:      "IMAGE_PROVIDER_UNSUPPORTED",
		Meaning: "Images cannot be kept with the provider of a backup storage location.",
		Fix:     "use a location of provider " + strings.Join(supported, " or ") + "; or " + switchOff,
	}
	DefaultMissing = fault.Code{
		ID:      "DEFAULT_SECRET_MISSING",
		Meaning: "The provider's default secret does not exist.",
		Fix:     setCredential + ", or create the default secret",
	}
	SecretMissing = fault.Code{
		ID:      "CREDENTIAL_SECRET_MISSING",
		Meaning: "The secret that a location names does not exist in its namespace, the only one that is read.",
		Fix:     "create the secret in the namespace of the location",
	}
	KeyMissing = fault.Code{
		ID:      "CREDENTIAL_KEY_MISSING",
		Meaning: "A secret that a location names lacks the wanted key, or the key is empty.",
		Fix:     "add the key to the secret, or select one of its keys in the location",
	}
	Forbidden = fault.Code{
		ID:      "CREDENTIAL_SECRET_FORBIDDEN",
		Meaning: "Velero's service account may not read a secret.",
		Fix:     "allow the service account of the Velero pod to get secrets in the namespace",
	}
	SecretUnreadable = fault.Code{
		ID:      "CREDENTIAL_SECRET_UNREADABLE",
		Meaning: "The API server did not answer a request for a secret.",
		Fix:     "check that the API server is healthy and run the backup again",
	}
	FileUnreadable = fault.Code{
		ID:      "CREDENTIAL_FILE_UNREADABLE",
		Meaning: "A credentials file is not in the Velero pod or cannot be read.",
		Fix:     setCredential + "; the default file is mounted only while a location uses it",
	}
	NoAmbient = fault.Code{
		ID:      "AMBIENT_IDENTITY_MISSING",
		Meaning: "The Velero pod and its node have no identity at the provider.",
		Fix:     setCredential,
	}
	LocationMissing = fault.Code{
		ID:      "LOCATION_MISSING",
		Meaning: "The backup storage location of a backup cannot be read.",
		Fix:     "create the location again, or back up to one that exists; see `oc get backupstoragelocations`",
	}
	RegionMissing = fault.Code{
		ID:      "IMAGE_REGION_MISSING",
		Meaning: "The region of a bucket is neither configured nor can it be discovered.",
		Fix:     "set config key region of the backup storage location; with s3Url use us-east-1",
	}
	BucketFailed = fault.Code{
		ID:      "IMAGE_BUCKET_FAILED",
		Meaning: "The bucket of a backup storage location refused a request for image data.",
		Fix:     "check that the credential may list, read, write and delete in the whole bucket, since images are outside of the location's prefix",
	}
)

// errNoObject stands for a getter that returns neither object nor error.
var errNoObject = errors.New("there was no answer")

// NewRegionError returns the error for a location whose region is not known.
func NewRegionError(l *location.Location, cause error) error {
	fix := fmt.Sprintf("set config key region of backup storage location %s", ref(l))
	if l.Config["s3Url"] != "" {
		fix += "; with s3Url use us-east-1"
	}
	return &fault.Error{Code: RegionMissing, What: fmt.Sprintf("the region of bucket %s is not known", l.Bucket), Fix: fix, Err: cause}
}

// NewBucketError returns the error for a request on a location's bucket. status
// is the HTTP code or 0, requestID may be empty.
func NewBucketError(l *location.Location, key string, status int, requestID string, cause error) error {
	what := fmt.Sprintf("image data in backup storage location %s: bucket %s, key %s", ref(l), l.Bucket, key)
	if status != 0 {
		what += fmt.Sprintf(", HTTP %d", status)
	}
	if requestID != "" {
		what += ", request id " + requestID
	}
	return &fault.Error{Code: BucketFailed, What: what, Err: cause}
}

// failure returns the one error of a search without success.
func (s *search) failure(req Request) error {
	what := fmt.Sprintf("no credential for the images in backup storage location %s (provider %s)", ref(s.location), s.provider.name)
	if req.Backup != "" {
		what += " of backup " + req.Backup
	}
	return &fault.Error{Code: NoCredential, What: what, Err: steps(s.failed)}
}

// steps is the list of what was tried, as one error.
type steps []failure

// Error implements the error interface.
func (l steps) Error() string {
	texts := make([]string, len(l))
	for i, f := range l {
		texts[i] = fmt.Sprintf("(%d) %s: %s", i+1, f.source, strings.ReplaceAll(f.err.Error(), "\n", "; "))
	}
	return strings.Join(texts, " ")
}

// Unwrap gives access to the steps.
func (l steps) Unwrap() []error {
	errs := make([]error, len(l))
	for i, f := range l {
		errs[i] = f.err
	}
	return errs
}

func ref(l *location.Location) string { return l.Namespace + "/" + l.Name }

func locationUnreadable(req Request, cause error) error {
	what := fmt.Sprintf("backup storage location %s/%s", req.Namespace, req.Location)
	if req.Backup != "" {
		what += " of backup " + req.Backup
	}
	if apierrors.IsNotFound(cause) {
		return &fault.Error{Code: LocationMissing, What: what + " does not exist"}
	}
	return &fault.Error{Code: LocationMissing, What: what + " cannot be read", Err: cause}
}

func unsupported(l *location.Location) error {
	return &fault.Error{
		Code: UnsupportedProvider,
		What: fmt.Sprintf("images cannot be kept in backup storage location %s: its provider is %q, supported are %s",
			ref(l), l.Provider, strings.Join(supported, " and ")),
	}
}

// registryError says why the registry secret could not be read.
func (s *search) registryError(name string, err error) error {
	secret := s.location.Namespace + "/" + name
	if !apierrors.IsNotFound(err) {
		return s.secretError(secret, err)
	}
	labels := s.location.Labels
	managedBy := labels[location.ManagedByLabel]
	switch {
	case labels[location.ComponentLabel] == location.ComponentBSL:
		return &fault.Error{
			Code: NotReconciled,
			What: fmt.Sprintf("secret %s is missing though backup storage location %s is labelled for the DPA: the DPA has not reconciled, or its spec.backupImages is false", secret, s.location.Name),
		}
	case managedBy != "" && managedBy != location.ManagedByOADP && labels[location.OADPLabel] != "":
		return &fault.Error{
			Code: NonAdminLocation,
			What: fmt.Sprintf("secret %s is never made for backup storage location %s, which %s manages", secret, s.location.Name, managedBy),
		}
	}
	return &fault.Error{
		Code: UnmanagedLocation,
		What: fmt.Sprintf("secret %s is missing since backup storage location %s is not managed by a DPA", secret, s.location.Name),
		Fix: fmt.Sprintf("`oc label backupstoragelocation %s -n %s %s=%s`, then let the DPA reconcile; or set spec.credential. "+
			"Add only that label: with the operator's name and managed-by labels too, the DPA may delete the location",
			s.location.Name, s.location.Namespace, location.ComponentLabel, location.ComponentBSL),
	}
}

// registryIncomplete names the keys that a registry secret lacks.
func (s *search) registryIncomplete(data map[string][]byte) error {
	var absent, empty []string
	for _, key := range s.provider.registryKeys {
		if value, ok := data[key]; !ok {
			absent = append(absent, key)
		} else if len(bytes.TrimSpace(value)) == 0 {
			empty = append(empty, key)
		}
	}
	var lacks []string
	if absent != nil {
		lacks = append(lacks, "has no key "+strings.Join(absent, ", "))
	}
	if empty != nil {
		lacks = append(lacks, "has no value in key "+strings.Join(empty, ", ")+" (normal for STS and workload identity)")
	}
	return &fault.Error{
		Code: RegistryIncomplete,
		What: fmt.Sprintf("secret %s/%s %s", s.location.Namespace, registryName(s.location), strings.Join(lacks, " and ")),
	}
}

// secretError says why a secret could not be read. secret is namespace/name.
func (s *search) secretError(secret string, err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return &fault.Error{
			Code: SecretMissing,
			What: fmt.Sprintf("secret %s does not exist; only namespace %s, that of the location, is read", secret, s.location.Namespace),
		}
	case apierrors.IsForbidden(err):
		return &fault.Error{
			Code: Forbidden,
			What: fmt.Sprintf("not allowed to get secret %s", secret),
			Fix:  fmt.Sprintf("allow the service account of the Velero pod to get secrets in namespace %s", s.location.Namespace),
			Err:  err,
		}
	}
	return &fault.Error{Code: SecretUnreadable, What: "reading secret " + secret, Err: err}
}

func keyMissing(secret string, wanted []string, data map[string][]byte) error {
	return &fault.Error{
		Code: KeyMissing,
		What: fmt.Sprintf("secret %s has no value in key %s; keys present: %q",
			secret, strings.Join(wanted, " or "), slices.Sorted(maps.Keys(data))),
	}
}

func (s *search) defaultMissing() error {
	without := ""
	if len(ownSelectors(s.location)) == 0 {
		without = fmt.Sprintf("backup storage location %s has no spec.credential, and ", ref(s.location))
	}
	return &fault.Error{
		Code: DefaultMissing,
		What: fmt.Sprintf("%sdefault secret %s/%s does not exist", without, s.location.Namespace, s.provider.defaultSecret),
		Fix: fmt.Sprintf("%s, or create secret %s/%s with key %s", setCredential,
			s.location.Namespace, s.provider.defaultSecret, s.provider.defaultKeys[0]),
	}
}

func fileError(path string, cause error) error {
	return &fault.Error{Code: FileUnreadable, What: "credentials file " + path, Err: cause}
}

func ambientError(cause error) error {
	return &fault.Error{Code: NoAmbient, What: "the pod and its node have no identity at the provider", Err: cause}
}
