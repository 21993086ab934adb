package azurefake

import (
	"net/http"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// Account is a storage account.
type Account struct {
	Name     string
	Endpoint string // of its blobs
	Keys     []Key
}

// Key is one of an account's.
type Key struct {
	Name        string `json:"keyName"`
	Value       string `json:"value"`
	Permissions string `json:"permissions"`
}

// AddAccount adds a storage account to a group of the subscription.
func (c *Cloud) AddAccount(group string, a Account) {
	t, _ := targetOf("/subscriptions/" + c.Subscription + "/resourceGroups/" + group + "/providers/Microsoft.Storage/storageAccounts/" + a.Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accounts[fold(t.id)] = &a
}

func (c *Cloud) getAccount(w http.ResponseWriter, _ *http.Request, t target, _ []byte) {
	a, ok := c.accounts[fold(t.id)]
	if !ok {
		writeError(w, notFound(t))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"id": t.id, "name": a.Name, "type": t.kind, "location": Location, "kind": "StorageV2",
		"properties": map[string]any{"provisioningState": "Succeeded", "primaryEndpoints": map[string]string{"blob": strings.TrimSuffix(a.Endpoint, "/") + "/"}},
	})
}

func (c *Cloud) listKeys(w http.ResponseWriter, r *http.Request, t target, _ []byte) {
	a, ok := c.accounts[fold(t.id)]
	switch {
	case !ok:
		writeError(w, notFound(t))
		return
	case r.URL.Query().Get("$expand") != "kerb":
		writeError(w, fakecloud.Refuse(http.StatusBadRequest, "InvalidQueryParameterValue", "$expand=kerb is expected here, as the plugin replaced sends it."))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"keys": a.Keys})
}
