package awsfake

import (
	"net/http"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

const (
	ec2Version   = "2016-11-15"
	ec2Namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"
)

// EC2 returns the service that has the volumes and snapshots.
func (c *Cloud) EC2() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.serve(w, r, protocol{"ec2", ec2Namespace, c.ec2, writeEC2Error})
	})
}

// action is one of EC2's. It reads its parameters, looks at f.problem, looks up
// what they name, and does nothing before c.permit.
type action func(k Keys, f *form) (any, *fakecloud.Refusal)

func (c *Cloud) ec2(r *http.Request, f *form) (any, *fakecloud.Refusal) {
	keys, refusal := c.authenticate(r, "ec2")
	if refusal != nil {
		return nil, inWordsOfEC2(refusal)
	}
	if f.version != ec2Version {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "NoSuchVersion", "The requested version (%s) of service AmazonEC2 does not exist", f.version)
	}
	do, ok := map[string]action{
		"DescribeVolumes":   c.describeVolumes,
		"DescribeSnapshots": c.describeSnapshots,
		"CreateVolume":      c.createVolume,
		"CreateSnapshot":    c.createSnapshot,
		"DeleteSnapshot":    c.deleteSnapshot,
	}[f.action]
	if !ok {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidAction", "The action %s is not valid for this web service.", f.action)
	}
	return do(keys, f)
}

// inWordsOfEC2 gives a refused signature the codes that EC2 has for it.
func inWordsOfEC2(r *fakecloud.Refusal) *fakecloud.Refusal {
	const failed = "AWS was not able to validate the provided access credentials"
	switch {
	case r.Code == "ExpiredToken":
		return fakecloud.Refuse(http.StatusBadRequest, "RequestExpired", "Request has expired.")
	case r.Code == "InvalidClientTokenId", r.Code == "SignatureDoesNotMatch" && !strings.Contains(r.Message, "scoped"):
		return fakecloud.Refuse(http.StatusUnauthorized, "AuthFailure", failed)
	}
	return r
}

// permit ends the checks of an action: of the permissions that it needs on a
// resource, and whether it was only asked for these.
func (c *Cloud) permit(k Keys, f *form, resource string, permissions ...string) *fakecloud.Refusal {
	for _, permission := range permissions {
		if refusal := c.authorize(k, permission, "arn:aws:ec2:"+c.region+":"+Account+":"+resource); refusal != nil {
			return refusal
		}
	}
	if f.dry {
		return fakecloud.Refuse(http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	return nil
}

// head begins an answer.
type head struct {
	RequestID string `xml:"requestId"`
}

type tagItem struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func tagItems(tags map[string]string) []tagItem {
	var items []tagItem
	for key, value := range tags {
		items = append(items, tagItem{key, value})
	}
	slices.SortFunc(items, func(a, b tagItem) int { return strings.Compare(a.Key, b.Key) })
	return items
}

// matches applies the filters of a Describe action. fields are those that can be
// filtered by, besides tags.
func matches(filters map[string][]string, fields, tags map[string]string) (bool, *fakecloud.Refusal) {
	for name, values := range filters {
		var got []string
		key, byTag := strings.CutPrefix(name, "tag:")
		field, known := fields[name]
		switch {
		case byTag:
			if value, ok := tags[key]; ok {
				got = []string{value}
			}
		case name == "tag-key":
			for key := range tags {
				got = append(got, key)
			}
		case known:
			got = []string{field}
		default:
			return false, fakecloud.Refuse(http.StatusBadRequest, "InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if !slices.ContainsFunc(got, func(v string) bool { return slices.Contains(values, v) }) {
			return false, nil
		}
	}
	return true, nil
}

// page cuts a sorted list by MaxResults and NextToken.
func page(f *form, ids []string) (some []string, next string) {
	size, after := f.number("MaxResults"), f.text("NextToken")
	if f.has("MaxResults") && (size < 5 || size > 1000) {
		f.fail("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value from 5 to 1000.", size)
	}
	if after != "" {
		n, _ := slices.BinarySearch(ids, after)
		ids = ids[n:]
	}
	if size > 0 && len(ids) > size {
		return ids[:size], ids[size]
	}
	return ids, ""
}
