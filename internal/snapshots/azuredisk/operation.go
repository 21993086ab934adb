package azuredisk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// pauses are those between the questions how far an operation has got; the last
// one is repeated.
var pauses = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}

// cleanUpTime bounds the removal of what was made in vain.
const cleanUpTime = 30 * time.Second

// get reads a disk or a snapshot.
func (c *compute) get(ctx context.Context, id string) (*resource, error) {
	r := &resource{}
	_, err := c.manager.Send(ctx, http.MethodGet, target(id), nil, r)
	return r, err
}

// create makes a disk or a snapshot, and waits until it is there. What was begun
// in vain is removed, since nobody would know of it.
func (c *compute) create(ctx context.Context, id string, r *resource) error {
	limited, cancel := context.WithTimeoutCause(ctx, c.apiTimeout, errTooLong)
	defer cancel()
	deadline := c.clock.Now().Add(c.apiTimeout)
	response, err := c.manager.Send(limited, http.MethodPut, target(id), r, nil)
	if err == nil {
		err = c.await(limited, response, deadline)
	} else if azureaccess.Status(err) != 0 {
		return err // refused: there is nothing to remove
	}
	if err == nil {
		return nil
	}
	fresh, cancelFresh := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancelFresh()
	if made, readErr := c.get(fresh, id); readErr == nil && made.Properties.ProvisioningState == "Succeeded" {
		return nil
	}
	if _, deleteErr := c.manager.Send(fresh, http.MethodDelete, target(id), nil, nil); deleteErr != nil && azureaccess.Status(deleteErr) != http.StatusNotFound {
		c.log.Warn("what was begun in vain cannot be removed, so it has to be by hand", "id", id, "error", azureaccess.Plain(deleteErr).Error())
	}
	return err
}

var errTooLong = &fault.Error{Code: CodeTimeout, What: "Azure did not answer within apiTimeout"}

// await waits for what an answer says has begun.
func (c *compute) await(ctx context.Context, response *http.Response, deadline time.Time) error {
	if response.StatusCode == http.StatusNoContent {
		return nil
	}
	poller, err := runtime.NewPoller[json.RawMessage](response, c.manager.Pipeline(), nil)
	if err != nil {
		return err
	}
	for n := 0; !poller.Done(); n++ {
		if n > 0 {
			pause := pauses[min(n, len(pauses))-1]
			left := deadline.Sub(c.clock.Now())
			if left <= 0 {
				return &fault.Error{Code: CodeTimeout, What: fmt.Sprintf("the operation is still in progress after %v", c.apiTimeout)}
			}
			if err := c.clock.Sleep(ctx, min(pause, left)); err != nil {
				return err
			}
		}
		if _, err := poller.Poll(ctx); err != nil {
			return err
		}
	}
	_, err = poller.Result(ctx)
	return err
}
