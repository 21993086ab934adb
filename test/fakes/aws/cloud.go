// Package awsfake is an AWS account on the loopback interface: EC2 as far as
// volumes and snapshots go, STS, the metadata service of machines, the endpoint
// of pod identities, and S3 as a front for a real server. They speak the real wire protocols, verify
// signatures, sessions and parameters, and refuse what AWS refuses.
//
//	cloud := awsfake.New("eu-central-1")
//	keys := cloud.AddUser("velero")
//	volume := cloud.AddVolume(awsfake.Volume{Zone: "eu-central-1a", Size: 10})
//	endpoint := fakecloud.Serve(t, cloud.EC2())
//
// Time is that of the machine and what a test adds with Advance, so that nobody
// waits for a snapshot to complete or a session to end.
package awsfake

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// Account is the account that everything belongs to.
const Account = "123456789012"

// Cloud is an account with its identities, volumes and snapshots in one region.
// It is safe for concurrent use.
type Cloud struct {
	// Base holds time, permissions and calls; its Inject makes faults of EC2 and STS.
	fakecloud.Base[Call]

	region string

	mu       sync.Mutex
	serial   int
	identity identities
	storage  storage
}

// New returns an account without anything in it.
func New(region string) *Cloud {
	return &Cloud{region: region, identity: newIdentities(), storage: newStorage()}
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

// ActionName implements fakecloud.Call.
func (call Call) ActionName() string { return call.Action }

// At implements fakecloud.Call.
func (call Call) At(now time.Time) Call {
	call.Time = now
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
