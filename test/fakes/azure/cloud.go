// Package azurefake is a subscription of Azure on the loopback interface:
// Microsoft Entra ID, which mints tokens; the endpoint of managed identities; and
// Azure Resource Manager as far as managed disks, their snapshots and storage
// accounts go. They speak the real wire protocols, verify tokens, API versions
// and bodies, and refuse what Azure refuses. Blob storage is Azurite of package
// stack, which takes the tokens.
//
//	cloud := azurefake.New()
//	app := cloud.AddApp(azurefake.App{Secret: "..."})
//	disk := cloud.AddDisk(azurefake.Disk{Group: "nodes", Name: "pvc-1", SKU: "Premium_LRS"})
//	endpoint := cloud.Serve(t, cloud.ResourceManager())
//
// Time is that of the machine and what a test adds with Advance, so that nobody
// waits for a snapshot to complete or a token to end.
package azurefake

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

// Location is the region that everything is in.
const Location = "westeurope"

// Cloud is a tenant with a subscription. It is safe for concurrent use.
type Cloud struct {
	// Inject makes a fault happen to calls of ARM and of what gives out tokens.
	inject.Faults[Call]

	Tenant       string
	Subscription string

	key []byte // signs tokens

	mu         sync.Mutex
	ahead      time.Duration
	apps       map[string]*App     // by client id
	assertions map[string][]string // client ids that a federated token is for, by its text
	policy     []string            // actions that are allowed; nil for all
	denied     map[string]bool     // actions
	disks      map[string]*Disk    // by lower-case id
	snapshots  map[string]*Snapshot
	accounts   map[string]*Account
	operations map[string]*operation
	duration   time.Duration // of an operation
	copyTime   time.Duration // until a snapshot of a Premium SSD v2 or Ultra disk is complete
	failures   []*Refusal    // that the next operations end with
	tagPolicy  string        // tag that a resource must have
	calls      []Call
}

// New returns a subscription without anything in it.
func New() *Cloud {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return &Cloud{
		Tenant:       uuid.NewString(),
		Subscription: uuid.NewString(),
		key:          key,
		apps:         map[string]*App{},
		assertions:   map[string][]string{},
		denied:       map[string]bool{},
		disks:        map[string]*Disk{},
		snapshots:    map[string]*Snapshot{},
		accounts:     map[string]*Account{},
		operations:   map[string]*operation{},
	}
}

// ServeTLS serves a handler, such as the one of Cloud.ResourceManager, over TLS
// until the test ends. It returns its URL and the certificate to trust.
func ServeTLS(t testing.TB, h http.Handler) (url string, caPEM []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// Serve serves a handler over plain HTTP until the test ends.
func Serve(t testing.TB, h http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// Now returns the time in the cloud.
func (c *Cloud) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Cloud) now() time.Time { return time.Now().Add(c.ahead) }

// Advance lets time pass.
func (c *Cloud) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// Deny takes a permission, such as Microsoft.Compute/snapshots/write, from
// everybody.
func (c *Cloud) Deny(actions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, action := range actions {
		c.denied[action] = true
	}
}

// Allow gives permissions back.
func (c *Cloud) Allow(actions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, action := range actions {
		delete(c.denied, action)
	}
}

// Limit allows everybody the actions of a role and no others.
func (c *Cloud) Limit(actions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policy = actions
}

// allows reports whether an action is allowed.
func (c *Cloud) allows(action string) bool {
	return !c.denied[action] && (c.policy == nil || slices.Contains(c.policy, action))
}

// RequireTag makes the subscription's policy refuse resources without a tag.
func (c *Cloud) RequireTag(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tagPolicy = name
}

// Call is a request as it arrived, whatever came of it.
type Call struct {
	Service  string         // login, identity, arm
	Action   string         // "token"; of arm Microsoft.Compute/disks/read and the like, or "operation"
	Path     string         // as sent
	Body     map[string]any // of arm
	Form     map[string]string
	ClientID string // who asks, "" if nobody knows
	Time     time.Time
}

// Calls returns the requests of an action, in order; all of them when action is
// empty.
func (c *Cloud) Calls(action string) []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var calls []Call
	for _, call := range c.calls {
		if action == "" || call.Action == action {
			calls = append(calls, call)
		}
	}
	return calls
}

// Forget drops the calls so far.
func (c *Cloud) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
}

// record keeps a call, and returns it with its time.
func (c *Cloud) record(call Call) Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.Time = c.now()
	c.calls = append(c.calls, call)
	return call
}

// Actions matches calls of the named actions.
func Actions(names ...string) func(Call) bool {
	return func(call Call) bool { return slices.Contains(names, call.Action) }
}

// fold makes ids of resources comparable, which differ in case only.
func fold(id string) string { return strings.ToLower(id) }
