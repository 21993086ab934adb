package azurefake

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// Versions of the APIs. A client that asks for another gets other fields than
// these services know.
const (
	computeVersion = "2025-01-02"
	storageVersion = "2024-01-01"
)

// audience is the resource that tokens for Azure Resource Manager are for.
const audience = "https://management.azure.com"

// target is what a request is about.
type target struct {
	id                              string // of the resource, as sent
	subscription, group, kind, name string
	action                          string // of a POST
}

var (
	resourcePath  = regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/(Microsoft\.Compute/disks|Microsoft\.Compute/snapshots|Microsoft\.Storage/storageAccounts)/([^/]+)(?:/(listKeys))?$`)
	operationPath = regexp.MustCompile(`^/subscriptions/[^/]+/providers/Microsoft\.Compute/locations/[^/]+/DiskOperations/([^/]+)$`)
)

// kinds are the types of resources as Azure spells them, by lower case.
var kinds = map[string]string{
	"microsoft.compute/disks":           "Microsoft.Compute/disks",
	"microsoft.compute/snapshots":       "Microsoft.Compute/snapshots",
	"microsoft.storage/storageaccounts": "Microsoft.Storage/storageAccounts",
}

// ResourceManager returns Azure Resource Manager. It has to be served over TLS,
// without which clients send no tokens.
func (c *Cloud) ResourceManager() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			panic(http.ErrAbortHandler) // the client has gone
		}
		call := Call{Service: "arm", Path: r.URL.Path}
		_ = json.Unmarshal(content, &call.Body) // what is wrong with it is said below
		t, isResource := targetOf(r.URL.Path)
		operation := operationPath.FindStringSubmatch(r.URL.Path)
		switch {
		case isResource:
			call.Action = action(r.Method, t)
		case operation != nil:
			call.Action = "operation"
		default:
			writeError(w, fakecloud.Refuse(http.StatusNotFound, "InvalidResourceType", "The resource type could not be found for the path %s.", r.URL.Path))
			return
		}
		serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.mu.Lock()
			defer c.mu.Unlock()
			app, refusal := c.bearer(r, audience)
			if refusal == nil && isResource && !c.Allows(call.Action) {
				refusal = fakecloud.Refuse(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
					app.ClientID, app.ClientID, call.Action, t.id)
			}
			switch {
			case refusal != nil:
				writeError(w, refusal)
			case isResource:
				c.resource(w, r, t, content)
			default:
				c.operation(w, r, operation[1])
			}
		})
		c.mu.Lock()
		if app, _ := c.bearer(r, audience); app != nil {
			call.ClientID = app.ClientID
		}
		c.mu.Unlock()
		c.Faults.Serve(w, r, c.Record(call), serve)
	})
}

func targetOf(path string) (target, bool) {
	m := resourcePath.FindStringSubmatch(path)
	if m == nil {
		return target{}, false
	}
	t := target{subscription: m[1], group: m[2], kind: kinds[strings.ToLower(m[3])], name: m[4], action: m[5]}
	t.id = "/subscriptions/" + t.subscription + "/resourceGroups/" + t.group + "/providers/" + t.kind + "/" + t.name
	return t, true
}

// action is the permission that a request needs.
func action(method string, t target) string {
	switch method {
	case http.MethodGet:
		return t.kind + "/read"
	case http.MethodPut:
		return t.kind + "/write"
	case http.MethodDelete:
		return t.kind + "/delete"
	}
	return t.kind + "/" + strings.ToLower(t.action) + "/action"
}

// resource answers a request about a resource. c.mu is held.
func (c *Cloud) resource(w http.ResponseWriter, r *http.Request, t target, content []byte) {
	version := computeVersion
	if strings.HasPrefix(t.kind, "Microsoft.Storage/") {
		version = storageVersion
	}
	if got := r.URL.Query().Get("api-version"); got != version {
		writeError(w, fakecloud.Refuse(http.StatusBadRequest, "InvalidResourceType", "The resource type '%s' could not be found for api version '%s'.", t.kind, got))
		return
	}
	if r.Method == http.MethodPut && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		writeError(w, fakecloud.Refuse(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "The content media type '%s' is not supported. Only 'application/json' is supported.", r.Header.Get("Content-Type")))
		return
	}
	do, ok := map[string]func(http.ResponseWriter, *http.Request, target, []byte){
		"GET Microsoft.Compute/disks":            c.getDisk,
		"PUT Microsoft.Compute/disks":            c.putDisk,
		"DELETE Microsoft.Compute/disks":         c.deleteDisk,
		"GET Microsoft.Compute/snapshots":        c.getSnapshot,
		"PUT Microsoft.Compute/snapshots":        c.putSnapshot,
		"DELETE Microsoft.Compute/snapshots":     c.deleteSnapshot,
		"GET Microsoft.Storage/storageAccounts":  c.getAccount,
		"POST Microsoft.Storage/storageAccounts": c.listKeys,
	}[r.Method+" "+t.kind]
	if !ok || (t.action != "") != (r.Method == http.MethodPost) {
		writeError(w, fakecloud.Refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The method %s is not allowed here.", r.Method))
		return
	}
	do(w, r, t, content)
}

func notFound(t target) *fakecloud.Refusal {
	return fakecloud.Refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", t.kind, t.name, t.group)
}

// decode reads a body. A field that the resource does not have is refused.
func decode(content []byte, v any) *fakecloud.Refusal {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%v'.", err)
	}
	return nil
}
