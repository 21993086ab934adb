package main

import (
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// copySummary says in the backup of an image stream what became of its images.
type copySummary struct {
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

// readSummary returns the summary in the backup of a stream, or false if there
// is none that can be read.
func readSummary(stream *unstructured.Unstructured) (copySummary, bool) {
	var s copySummary
	text := annotation(stream, imageCopyKey)
	return s, text != "" && json.Unmarshal([]byte(text), &s) == nil
}

func (s copySummary) annotate(stream *unstructured.Unstructured) error {
	text, err := json.Marshal(s)
	if err == nil {
		annotate(stream, imageCopyKey, string(text))
	}
	return err
}

// rewrite lets the status of a stream name converted images of the registry as
// they are in the backup.
func (s copySummary) rewrite(stream *unstructured.Unstructured, host string) {
	if len(s.Converted) == 0 {
		return
	}
	for tag := range each(listAt(stream.Object, "status", "tags")) {
		for item := range each(listAt(tag, "items")) {
			reference := textAt(item, "dockerImageReference")
			old, err := imageDigest(item)
			now := s.Converted[old]
			if err != nil || now == "" || !isLocal(reference, host) {
				continue
			}
			name, _, _ := strings.Cut(reference, "@")
			item["image"] = now.String()
			item["dockerImageReference"] = name + "@" + now.String()
		}
	}
}
