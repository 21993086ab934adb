package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// With the first stream of a namespace the images of the others go as well,
// unless they may not be in the backup.
func testCopyAhead(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	for stream, metadata := range map[string]string{"app4": "annotations: {" + api.SkipImageCopyKey, "app5": "labels: {" + velero.ExcludeLabel} {
		s.create(fmt.Sprintf(`{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: %s, namespace: %s, %s: "true"}}}`,
			stream, s.namespace, metadata))
	}
	var images []string
	for i := range 6 {
		images = append(images, s.push(fmt.Sprintf("app%d:v1", i), s.image(uint64(10*i))))
	}
	revision := func(i int) string {
		return fmt.Sprintf("repositories/%s/app%d/_manifests/revisions/sha256/%s/link", s.namespace, i, strings.TrimPrefix(images[i], "sha256:"))
	}
	selected := strings.Replace(string(fieldstest.JSON(t, s.backup("selected"))), `"spec":{`, `"spec":{"labelSelector":{"matchLabels":{"a":"b"}},`, 1)
	_, err := s.backUpStream("app0", selected)
	s.must(err)

	if found := s.keys(revision(1)); len(found) > 0 {
		t.Errorf("copied for a backup of some objects: %v", found)
	}
	all := s.backup("all")
	item, err := s.backUpStream("app0", all)
	s.must(err)
	if summary, ok := imagecopy.ReadSummary(item); !ok || summary.Images != 1 || summary.Copied != 0 {
		t.Errorf("the first stream: %+v", summary)
	}
	for i := range 4 {
		s.must(stack.Await(t.Context(), func() error {
			if len(s.keys(revision(i))) == 0 {
				return fmt.Errorf("image %d is not there", i)
			}
			return nil
		}))
	}
	s.registry.ResetCounts()
	for i := 1; i < 4; i++ {
		item, err := s.backUpStream(fmt.Sprintf("app%d", i), all)
		s.must(err)
		// What was copied for it counts as its own.
		if summary, ok := imagecopy.ReadSummary(item); !ok || summary.Images != 1 || summary.Copied != 3 || summary.Bytes < 50_000 {
			t.Errorf("stream %d: %+v", i, summary)
		}
	}
	if counts := s.registry.Counts(); len(counts.Requests) > 0 {
		t.Errorf("their backups ask the registry: %v", counts.Requests)
	}
	for _, i := range []int{4, 5} {
		if found := s.keys(revision(i)); len(found) > 0 {
			t.Errorf("copied: %v", found)
		}
	}
}
