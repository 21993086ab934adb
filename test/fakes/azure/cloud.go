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
//	endpoint := fakecloud.Serve(t, cloud.ResourceManager())
//
// Time is that of the machine and what a test adds with Advance, so that nobody
// waits for a snapshot to complete or a token to end.
package azurefake

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// Location is the region that everything is in.
const Location = "westeurope"

// Cloud is a tenant with a subscription. It is safe for concurrent use.
type Cloud struct {
	// Base holds time, permissions and calls; its Inject makes faults of ARM and of
	// what gives out tokens.
	fakecloud.Base[Call]

	Tenant       string
	Subscription string

	key []byte // signs tokens

	mu         sync.Mutex
	apps       map[string]*App     // by client id
	assertions map[string][]string // client ids that a federated token is for, by its text
	disks      map[string]*Disk    // by lower-case id
	snapshots  map[string]*Snapshot
	accounts   map[string]*Account
	operations map[string]*operation
	duration   time.Duration        // of an operation
	copyTime   time.Duration        // until a snapshot of a Premium SSD v2 or Ultra disk is complete
	failures   []*fakecloud.Refusal // that the next operations end with
	tagPolicy  string               // tag that a resource must have
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
		disks:        map[string]*Disk{},
		snapshots:    map[string]*Snapshot{},
		accounts:     map[string]*Account{},
		operations:   map[string]*operation{},
	}
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

// ActionName implements fakecloud.Call.
func (call Call) ActionName() string { return call.Action }

// At implements fakecloud.Call.
func (call Call) At(now time.Time) Call {
	call.Time = now
	return call
}

// Actions matches calls of the named actions.
func Actions(names ...string) func(Call) bool {
	return func(call Call) bool { return slices.Contains(names, call.Action) }
}

// fold makes ids of resources comparable, which differ in case only.
func fold(id string) string { return strings.ToLower(id) }
