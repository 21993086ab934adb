package imagecopy

import (
	"encoding/json"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Summary says in the backup of an image stream what became of its images.
type Summary struct {
	// Owner is what the bucket's index of images knows the backup by.
	Owner  string `json:"owner,omitempty"`
	Images int    `json:"images,omitempty"`
	Blobs  int    `json:"blobs,omitempty"`
	Copied int    `json:"copied,omitempty"` // blobs that the bucket did not have
	Bytes  int64  `json:"bytes,omitempty"`  // of these
	// Converted has the digests of images that could not be kept byte for byte.
	Converted map[digest.Digest]digest.Digest `json:"converted,omitempty"`
	// Missing are old images, and parts of images for several architectures,
	// that the registry did not have.
	Missing []digest.Digest `json:"missing,omitempty"`
}

// ReadSummary returns the summary in the backup of a stream, or false if there
// is none that can be read.
func ReadSummary(stream *unstructured.Unstructured) (Summary, bool) {
	var s Summary
	text := fields.Annotation(stream, api.ImageCopyKey)
	return s, text != "" && json.Unmarshal([]byte(text), &s) == nil
}

func (s Summary) annotate(stream *unstructured.Unstructured) error {
	text, err := json.Marshal(s)
	if err == nil {
		fields.Annotate(stream, api.ImageCopyKey, string(text))
	}
	return err
}

// rewrite lets the status of a stream name converted images of the registry as
// they are in the backup.
func (s Summary) rewrite(stream *unstructured.Unstructured, host string) {
	if len(s.Converted) == 0 {
		return
	}
	for tag := range fields.Each(fields.ListAt(stream.Object, "status", "tags")) {
		for item := range fields.Each(fields.ListAt(tag, "items")) {
			reference := fields.TextAt(item, "dockerImageReference")
			old, err := imageDigest(item)
			now := s.Converted[old]
			if err != nil || now == "" || !IsLocal(reference, host) {
				continue
			}
			name, _, _ := strings.Cut(reference, "@")
			item["image"] = now.String()
			item["dockerImageReference"] = name + "@" + now.String()
		}
	}
}

// RemoveSummary removes what an earlier backup has noted in a stream. It would let
// the deletion of one backup touch the images of the other.
func RemoveSummary(stream *unstructured.Unstructured) {
	fields.RemoveAnnotation(stream, api.ImageCopyKey)
}

// RemoveBookkeeping removes all that a backup has noted in a stream, so that it
// does not come into the cluster and from there into the next backup. The stamps
// stay, as they do on every restored object.
func RemoveBookkeeping(stream *unstructured.Unstructured) {
	RemoveSummary(stream)
	fields.RemoveAnnotation(stream, api.MigrationRegistryKey)
}
