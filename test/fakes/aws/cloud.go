// Package awsfake is an AWS account on the loopback interface: EC2 as far as
// volumes and snapshots go, STS, the metadata service of machines, the endpoint
// of pod identities, and S3 as a front for a real server. They speak the real wire protocols, verify
// signatures, sessions and parameters, and refuse what AWS refuses.
//
//	cloud := awsfake.New("eu-central-1")
//	keys := cloud.AddUser("velero")
//	volume := cloud.AddVolume(awsfake.Volume{Zone: "eu-central-1a", Size: 10})
//	endpoint := awsfake.Serve(t, cloud.EC2())
//
// Time is that of the machine and what a test adds with Advance, so that nobody
// waits for a snapshot to complete or a session to end.
package awsfake

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

// Account is the account that everything belongs to.
const Account = "123456789012"

// Cloud is an account with its identities, volumes and snapshots in one region.
// It is safe for concurrent use.
type Cloud struct {
	// Inject makes a fault happen to calls of EC2 and STS.
	inject.Faults[Call]

	region string

	mu       sync.Mutex
	ahead    time.Duration
	serial   int
	identity identities
	policy   []string        // actions that are allowed, with * at the end for any; nil for all
	denied   map[string]bool // actions of IAM
	storage  storage
	calls    []Call
}

// New returns an account without anything in it.
func New(region string) *Cloud {
	return &Cloud{region: region, denied: map[string]bool{}, identity: newIdentities(), storage: newStorage()}
}

// Serve serves a handler, such as the one of Cloud.EC2, until the test ends, and
// returns its URL.
func Serve(t testing.TB, h http.Handler) string {
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

// Limit allows everybody the actions of a policy and no others. A * at the end of
// an action stands for any text.
func (c *Cloud) Limit(actions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policy = actions
}

// Deny takes a permission, such as ec2:CreateSnapshot or kms:CreateGrant, from
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

// allows reports whether an action is allowed.
func (c *Cloud) allows(action string) bool {
	if c.denied[action] {
		return false
	}
	return c.policy == nil || slices.ContainsFunc(c.policy, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return pattern == action || open && strings.HasPrefix(action, prefix)
	})
}

// nextID returns an identifier as EC2 gives them.
func (c *Cloud) nextID(prefix string) string {
	c.serial++
	return fmt.Sprintf("%s-%017x", prefix, 0xfa0000+c.serial)
}

// Call is a request as it arrived, whatever came of it.
type Call struct {
	Service   string // ec2, sts, s3, imds, pod-identity
	Action    string
	Form      map[string]string // parameters of EC2 and STS
	AccessKey string            // "" for a request that is not signed
	ARN       string            // of the caller, of s3 only
	Time      time.Time         // in the cloud
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

// record keeps a call, and returns it with its time.
func (c *Cloud) record(call Call) Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.Time = c.now()
	c.calls = append(c.calls, call)
	return call
}

// Tags returns the tags of a call that creates something.
func (call Call) Tags() map[string]string {
	tags := map[string]string{}
	for name, key := range call.Form {
		if stem, ok := strings.CutSuffix(name, ".Key"); ok && strings.HasPrefix(name, "TagSpecification.1.Tag.") {
			tags[key] = call.Form[stem+".Value"]
		}
	}
	return tags
}

// Actions matches calls of the named actions.
func Actions(names ...string) func(Call) bool {
	return func(call Call) bool { return slices.Contains(names, call.Action) }
}
