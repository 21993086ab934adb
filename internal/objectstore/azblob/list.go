package azblob

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// Object is an entry of a container.
type Object struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // by the server's clock
}

// ListCommonPrefixes implements sdk.ObjectStore.
func (s *Store) ListCommonPrefixes(ctx context.Context, in sdk.ListCommonPrefixesInput) (sdk.ListCommonPrefixesResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.ListCommonPrefixesResult{}, err
	}
	var prefixes []string
	for p, err := range l.pages(ctx, query{in.Bucket, in.Prefix, in.Delimiter, false}) {
		if err != nil {
			return sdk.ListCommonPrefixesResult{}, l.explain("error listing common prefixes of "+in.Bucket+"/"+in.Prefix, err)
		}
		prefixes = append(prefixes, p.prefixes...)
	}
	slices.Sort(prefixes)
	return sdk.ListCommonPrefixesResult{Prefixes: slices.Compact(prefixes)}, nil
}

// ListObjects implements sdk.ObjectStore. Accounts with a hierarchical namespace
// keep folders as blobs; these are left out, as they could be deleted only after
// their content.
func (s *Store) ListObjects(ctx context.Context, in sdk.ListObjectsInput) (sdk.ListObjectsResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.ListObjectsResult{}, err
	}
	var keys []string
	for p, err := range l.pages(ctx, query{in.Bucket, in.Prefix, "", true}) {
		if err != nil {
			return sdk.ListObjectsResult{}, l.explain("error listing objects of "+in.Bucket+"/"+in.Prefix, err)
		}
		for _, o := range p.objects {
			keys = append(keys, o.Key)
		}
	}
	slices.Sort(keys)
	return sdk.ListObjectsResult{Keys: slices.Compact(keys)}, nil
}

// List yields the blobs whose names have a prefix, as the pages come in. An error
// is the last thing that it yields.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		l, err := s.location()
		if err != nil {
			yield(Object{}, err)
			return
		}
		for p, err := range l.pages(ctx, query{bucket, prefix, "", true}) {
			if err != nil {
				yield(Object{}, l.explain("error listing objects of "+bucket+"/"+prefix, err))
				return
			}
			for _, o := range p.objects {
				if !yield(o, nil) {
					return
				}
			}
		}
	}
}

// query is what to list.
type query struct {
	bucket, prefix, delimiter string
	metadata                  bool // tells folders from blobs
}

// page is one answer to a query.
type page struct {
	objects  []Object
	prefixes []string
	next     string // where the next page begins, "" for the last one
}

// errNoProgress reports a service that repeats itself.
var errNoProgress = errors.New("the server says that the list goes on, but does not continue it")

// pages yields the pages of a list. An error is the last thing that it yields.
func (l *location) pages(ctx context.Context, q query) iter.Seq2[page, error] {
	return func(yield func(page, error) bool) {
		c, err := l.container(q.bucket)
		seen := map[string]bool{"": true}
		for marker := ""; ; {
			var p page
			if err == nil {
				p, err = onePage(ctx, c, q, marker)
			}
			if err == nil && p.next != "" && seen[p.next] {
				err = errNoProgress
			}
			if !yield(p, err) || err != nil || p.next == "" {
				return
			}
			marker, seen[p.next] = p.next, true
		}
	}
}

// onePage sends one request. An answer that is no list is an error: the page of a
// proxy must not pass for an empty container, since Velero removes its record of
// backups that are not listed.
func onePage(ctx context.Context, c *container.Client, q query, marker string) (page, error) {
	var response *http.Response
	ctx = policy.WithCaptureResponse(ctx, &response)
	include := container.ListBlobsInclude{Metadata: q.metadata}
	var (
		p     page
		items []*container.BlobItem
		err   error
	)
	if q.delimiter == "" {
		var out container.ListBlobsFlatResponse
		out, err = c.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: optional(q.prefix), Marker: optional(marker), Include: include}).NextPage(ctx)
		if out.Segment != nil {
			items = out.Segment.BlobItems
		}
		p.next = value(out.NextMarker)
	} else {
		var out container.ListBlobsHierarchyResponse
		out, err = c.NewListBlobsHierarchyPager(q.delimiter, &container.ListBlobsHierarchyOptions{Prefix: optional(q.prefix), Marker: optional(marker), Include: include}).NextPage(ctx)
		if out.Segment != nil {
			items = out.Segment.BlobItems
			for _, prefix := range out.Segment.BlobPrefixes {
				p.prefixes = append(p.prefixes, value(prefix.Name))
			}
		}
		p.next = value(out.NextMarker)
	}
	if response != nil && response.StatusCode == http.StatusOK {
		content, readErr := runtime.Payload(response)
		document := &answer.Document{Reader: bytes.NewReader(content), Content: content}
		if readErr == nil && document.Root() != "EnumerationResults" {
			return page{}, answer.PageOf(response, document)
		}
	}
	if err != nil {
		return page{}, err
	}
	for _, item := range items {
		if item.Name == nil || isFolder(item) {
			continue
		}
		o := Object{Key: *item.Name}
		if item.Properties != nil {
			if item.Properties.ContentLength != nil {
				o.Size = *item.Properties.ContentLength
			}
			if item.Properties.LastModified != nil {
				o.Modified = *item.Properties.LastModified
			}
		}
		p.objects = append(p.objects, o)
	}
	return p, nil
}

// isFolder tells a folder of a hierarchical namespace from a blob.
func isFolder(item *container.BlobItem) bool {
	for name, mark := range item.Metadata {
		if strings.EqualFold(name, "hdi_isfolder") && strings.EqualFold(value(mark), "true") {
			return true
		}
	}
	return false
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
