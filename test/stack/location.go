package stack

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Location is a backup storage location.
type Location struct {
	Name           string
	Provider       string
	Bucket, Prefix string
	Config         map[string]string
	CAPEM          []byte
	Credential     []byte // content of the credential's secret, nil for none
	// Default makes it the location of backups that name none.
	Default bool
	// ValidationPeriod is how often Velero checks it; 0 is a minute.
	ValidationPeriod time.Duration
	// Labels and Annotations are those of the object.
	Labels, Annotations map[string]string
}

func (l Location) object(secret string) *unstructured.Unstructured {
	storage := map[string]any{"bucket": l.Bucket}
	if l.Prefix != "" {
		storage["prefix"] = l.Prefix
	}
	if l.CAPEM != nil {
		storage["caCert"] = base64.StdEncoding.EncodeToString(l.CAPEM)
	}
	config := map[string]any{}
	for key, value := range l.Config {
		config[key] = value
	}
	spec := map[string]any{"provider": l.Provider, "objectStorage": storage, "config": config}
	if l.Credential != nil {
		spec["credential"] = map[string]any{"name": secret, "key": "cloud"}
	}
	if l.Default {
		spec["default"] = true
	}
	if l.ValidationPeriod > 0 {
		spec["validationFrequency"] = l.ValidationPeriod.String()
	}
	object := veleroObject("BackupStorageLocation", l.Name, spec)
	object.SetLabels(l.Labels)
	object.SetAnnotations(l.Annotations)
	return object
}

// WriteFiles writes the location and its credential to files in a folder, for
// the check command of a plugin.
func (l Location) WriteFiles(dir string) (location, credential string, err error) {
	text, err := yaml.Marshal(l.object(credentialName(l.Name)).Object)
	if err != nil {
		return "", "", err
	}
	location = filepath.Join(dir, l.Name+".yaml")
	credential = filepath.Join(dir, l.Name+".credential")
	return location, credential, errors.Join(
		os.WriteFile(location, text, 0o600),
		os.WriteFile(credential, l.Credential, 0o600),
	)
}

// S3Location is a location at the TLS endpoint of m for the aws plugin.
func (m *MinIO) S3Location(name, bucket string) Location {
	return Location{
		Name: name, Provider: "velero.io/aws", Bucket: bucket, CAPEM: m.CAPEM,
		Config:     map[string]string{"region": Region, "s3ForcePathStyle": "true", "s3Url": m.TLSEndpoint},
		Credential: fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", m.AccessKey, m.SecretKey),
	}
}
