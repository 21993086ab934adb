package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// ListCommonPrefixes implements sdk.ObjectStore.
func (s *Store) ListCommonPrefixes(ctx context.Context, in sdk.ListCommonPrefixesInput) (sdk.ListCommonPrefixesResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.ListCommonPrefixesResult{}, err
	}
	q := query{bucket: in.Bucket, prefix: in.Prefix, delimiter: in.Delimiter}
	if l.isRoot(in.Prefix) {
		q.pageTime = max(validationTime-time.Since(l.begun), rootListTime)
	}
	_, prefixes, err := l.list(ctx, q)
	if err != nil {
		return sdk.ListCommonPrefixesResult{}, l.explain("error listing common prefixes of "+in.Bucket+"/"+in.Prefix, err)
	}
	return sdk.ListCommonPrefixesResult{Prefixes: prefixes}, nil
}

// isRoot reports whether a prefix is the root of the location, "velero/" for the
// prefix velero. Velero lists it to validate the location, and for nothing else.
func (l *location) isRoot(prefix string) bool {
	return strings.TrimSuffix(prefix, "/") == l.settings.prefix
}

// ListObjects implements sdk.ObjectStore. Keys are in descending order: servers
// that keep folders as objects can remove a folder only after its content.
func (s *Store) ListObjects(ctx context.Context, in sdk.ListObjectsInput) (sdk.ListObjectsResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.ListObjectsResult{}, err
	}
	keys, _, err := l.list(ctx, query{bucket: in.Bucket, prefix: in.Prefix})
	if err != nil {
		return sdk.ListObjectsResult{}, l.explain("error listing objects of "+in.Bucket+"/"+in.Prefix, err)
	}
	slices.Reverse(keys)
	return sdk.ListObjectsResult{Keys: keys}, nil
}

// List yields the objects whose keys have a prefix, as the pages come in. An
// object may come twice from a server that repeats itself. An error is the last
// thing that it yields.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		l, err := s.location()
		if err != nil {
			yield(Object{}, err)
			return
		}
		err = l.eachPage(ctx, query{bucket: bucket, prefix: prefix}, func(p page) bool {
			for _, o := range p.objects {
				if !yield(o, nil) {
					return false
				}
			}
			return true
		})
		if err != nil {
			yield(Object{}, l.explain("error listing objects of "+bucket+"/"+prefix, err))
		}
	}
}

// query is what to list.
type query struct {
	bucket, prefix, delimiter string

	pageTime time.Duration // for each page, all attempts together; 0 for no limit
}

// page is one answer to a query.
type page struct {
	objects  []Object
	prefixes []string
	more     bool
	next     string // where the next page begins, "" when the server did not say
}

// list returns all keys and all common prefixes, each once and in order.
func (l *location) list(ctx context.Context, q query) (keys, prefixes []string, err error) {
	err = l.eachPage(ctx, q, func(p page) bool {
		keys, prefixes = append(keys, p.keys()...), append(prefixes, p.prefixes...)
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(keys)
	slices.Sort(prefixes)
	return slices.Compact(keys), slices.Compact(prefixes), nil
}

// eachPage calls use with each page of a list, until it returns false. When the
// server does not get to the end of the list, it begins anew with the older kind
// of request.
func (l *location) eachPage(ctx context.Context, q query, use func(page) bool) error {
	err := eachPage(ctx, q, l.listV2, use)
	if errors.Is(err, errNoProgress) {
		l.log.Info("the server answers ListObjectsV2 without a usable continuation token, so ListObjects is used", "bucket", q.bucket)
		err = eachPage(ctx, q, l.listV1, use)
	}
	return err
}

// errNoProgress reports a server that claims that a list goes on and does not
// continue it.
var errNoProgress = errors.New("the server says that the list goes on, but does not continue it")

// errOtherList reports a list with other objects than were asked for, as caches
// send that do not look at the query. Velero deletes what is listed.
var errOtherList = errors.New("the server sent the list of something else than was asked for")

// maxIdlePages is how many pages in a row may bring nothing new. Servers send some
// while they skip what was deleted.
const maxIdlePages = 100

// eachPage gets the pages from the first to the last, or until use returns false.
func eachPage(ctx context.Context, q query, get func(context.Context, query, string) (page, error), use func(page) bool) error {
	seen := map[string]bool{"": true}
	var last page
	for at, idle := "", 0; ; {
		p, err := getPage(ctx, q, at, get)
		if err != nil {
			return err
		}
		if idle++; p.differs(last) {
			idle, last = 0, p
		}
		if !use(p) || !p.more {
			return nil
		}
		if seen[p.next] || idle > maxIdlePages {
			return errNoProgress
		}
		seen[p.next] = true
		at = p.next
	}
}

func getPage(ctx context.Context, q query, at string, get func(context.Context, query, string) (page, error)) (page, error) {
	if q.pageTime > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, q.pageTime)
		defer cancel()
	}
	return get(ctx, q, at)
}

func (l *location) listV2(ctx context.Context, q query, token string) (page, error) {
	out, err := l.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket:            &q.bucket,
		Prefix:            optional(q.prefix),
		Delimiter:         optional(q.delimiter),
		ContinuationToken: optional(token),
	})
	if err != nil {
		return page{}, err
	}
	return newPage(q, out.Contents, out.CommonPrefixes, out.IsTruncated, aws.ToString(out.NextContinuationToken))
}

// listV1 continues behind the last name of a page when the server does not say
// where, which it has to do with a delimiter only.
func (l *location) listV1(ctx context.Context, q query, marker string) (page, error) {
	out, err := l.client.ListObjects(ctx, &s3.ListObjectsInput{
		Bucket:    &q.bucket,
		Prefix:    optional(q.prefix),
		Delimiter: optional(q.delimiter),
		Marker:    optional(marker),
	})
	if err != nil {
		return page{}, err
	}
	p, err := newPage(q, out.Contents, out.CommonPrefixes, out.IsTruncated, aws.ToString(out.NextMarker))
	if err != nil {
		return page{}, err
	}
	if p.more && p.next == "" {
		for _, name := range append(p.keys(), p.prefixes...) {
			p.next = max(p.next, name)
		}
	}
	if p.more && p.next <= marker {
		return page{}, errNoProgress
	}
	return p, nil
}

// keys returns those of the objects.
func (p page) keys() []string {
	keys := make([]string, len(p.objects))
	for i, o := range p.objects {
		keys[i] = o.Key
	}
	return keys
}

// differs reports whether p holds something, and something else than last.
func (p page) differs(last page) bool {
	empty := len(p.objects) == 0 && len(p.prefixes) == 0
	return !empty && !(slices.Equal(p.keys(), last.keys()) && slices.Equal(p.prefixes, last.prefixes))
}

// newPage makes a page of an answer. Servers that do not know delimiters list all
// objects below the prefix, so that the common prefixes are found in their keys.
func newPage(q query, contents []types.Object, prefixes []types.CommonPrefix, more *bool, next string) (page, error) {
	p := page{next: next, more: next != ""}
	if more != nil {
		p.more = *more
	}
	for _, o := range contents {
		if o.Key == nil {
			continue
		}
		rest, ok := strings.CutPrefix(*o.Key, q.prefix)
		if !ok {
			return page{}, fmt.Errorf("%w: key %q, which does not begin with %q", errOtherList, *o.Key, q.prefix)
		}
		if q.delimiter != "" {
			if folder, _, ok := strings.Cut(rest, q.delimiter); ok {
				p.addPrefix(q.prefix + folder + q.delimiter)
				continue
			}
		}
		p.objects = append(p.objects, Object{Key: *o.Key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
	}
	for _, c := range prefixes {
		if c.Prefix == nil {
			continue
		}
		folder, ok := strings.CutPrefix(*c.Prefix, q.prefix)
		if !ok || folder == "" || q.delimiter == "" || !strings.HasSuffix(folder, q.delimiter) {
			return page{}, fmt.Errorf("%w: common prefix %q below %q", errOtherList, *c.Prefix, q.prefix)
		}
		p.prefixes = append(p.prefixes, *c.Prefix)
	}
	return p, nil
}

// addPrefix adds a prefix that may be there already.
func (p *page) addPrefix(prefix string) {
	if len(p.prefixes) == 0 || p.prefixes[len(p.prefixes)-1] != prefix {
		p.prefixes = append(p.prefixes, prefix)
	}
}
