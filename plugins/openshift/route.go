package main

import (
	"context"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// restoreRoute takes off a host that OpenShift has made, so that it makes one
// of the cluster that is restored to. Hosts that were chosen are moved to other
// domains if the settings say so.
func (a *actions) restoreRoute(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	spec := fields.MapAt(in.Item.Object, "spec")
	if fields.Annotation(in.Item, api.HostGeneratedKey) == "true" {
		delete(spec, "host")
		return sdk.RestoreResult{}, nil
	}
	s, err := a.settings()
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	if domains := s.Map(settings.RouteDomains); len(domains) > 0 && spec != nil {
		fields.EditText(spec, "host", func(host string) string { return moveDomain(host, domains) })
	}
	return sdk.RestoreResult{}, nil
}

// moveDomain replaces the longest of the domains that a host is in.
func moveDomain(host string, domains map[string]string) string {
	longest := ""
	for domain := range domains {
		if (host == domain || strings.HasSuffix(host, "."+domain)) && len(domain) > len(longest) {
			longest = domain
		}
	}
	if longest == "" {
		return host
	}
	return strings.TrimSuffix(host, longest) + domains[longest]
}
