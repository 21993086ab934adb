package azureaccess

import (
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
)

// Given is a credential that is at hand: the entries of a credentials file.
type Given struct {
	From    string            // in words, for messages: "secret openshift-adp/cloud-credentials, key cloud"
	Author  credpolicy.Author // who wrote it
	Entries map[string]credfile.Sensitive
}
