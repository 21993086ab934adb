package azuredisk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// managementScope is what tokens for the step identity are for.
const managementScope = "https://management.azure.com/.default"

// Checks implements sdk.Checked.
func (s *Snapshotter) Checks(ctx context.Context, in sdk.ChecksInput) ([]sdk.Check, error) {
	p, err := s.prepare(ctx, in.Config)
	if err != nil {
		return nil, err
	}
	c := &checker{p.compute}
	return []sdk.Check{
		{Name: "DNS", Run: endpoint.Target(c.target).Resolve},
		{Name: "TLS", Run: endpoint.Target(c.target).Connect},
		{Name: "identity", Run: c.whoAmI},
		{Name: "permissions", Run: c.permissions},
	}, nil
}

// checker runs the steps of one check, in order.
type checker struct{ *compute }

// target returns the URL that requests go to.
func (c *checker) target(context.Context) (endpoint.Probe, *url.URL, error) {
	u, err := url.Parse(c.manager.Endpoint())
	return endpoint.Probe{Trust: c.trust, Settings: azureaccess.Settings}, u, err
}

func (c *checker) whoAmI(ctx context.Context) (string, error) {
	scope := managementScope
	if c.access.ManagerAudience != "" {
		scope = strings.TrimRight(c.access.ManagerAudience, "/") + "/.default"
	}
	return c.manager.Token().Retrieve(ctx, scope)
}

// permissions asks for a disk and a snapshot that do not exist, to read and to
// delete them, and to make them of nothing. A right that is missing is answered
// with 403 before anything else is looked at, so that nothing is made; each right
// is tried by itself, and one run names all that are missing.
func (c *checker) permissions(ctx context.Context) (string, error) {
	at, err := c.disksPlace()
	if err != nil {
		return "", err
	}
	to, err := c.snapshotPlace(at)
	if err != nil {
		return "", err
	}
	name := "oadp-check-" + uuid.NewString()
	disk, snapshot := at.id(diskType, name), to.id(snapshotType, name)
	empty := &resource{Properties: properties{CreationData: creationData{CreateOption: "Copy", SourceResourceID: at.id(diskType, name+"-absent")}}}
	var problems []error
	for _, try := range []struct {
		method, id string
		body       *resource
	}{
		{http.MethodGet, disk, nil}, {http.MethodPut, disk, empty}, {http.MethodDelete, disk, nil},
		{http.MethodGet, snapshot, nil}, {http.MethodPut, snapshot, empty}, {http.MethodDelete, snapshot, nil},
	} {
		var body any
		if try.body != nil {
			body = try.body
		}
		_, err := c.manager.Send(ctx, try.method, target(try.id), body, nil)
		if status := azureaccess.Status(err); err != nil && (status == 0 || status == http.StatusForbidden || status == http.StatusUnauthorized) {
			problems = append(problems, azureaccess.ManagerFault("error trying "+try.method+" of "+try.id, err))
			if status == 0 {
				break
			}
		}
	}
	if len(problems) > 0 {
		return "", errors.Join(problems...)
	}
	return fmt.Sprintf("disks in %s of subscription %s, and snapshots in %s of subscription %s, can be read, made and deleted", at.group, at.subscription, to.group, to.subscription), nil
}
