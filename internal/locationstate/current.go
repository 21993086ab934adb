// Package locationstate keeps what the last Init of a store or a snapshotter led to.
// Velero calls Init again and again with the same configuration, calls methods
// meanwhile, and calls Init with another configuration for another location.
package locationstate

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Fingerprint identifies a configuration with all that was read for it: files,
// variables of the environment, secrets.
type Fingerprint [sha256.Size]byte

// FingerprintOf returns the fingerprint of a configuration and what was read for it.
func FingerprintOf(configuration map[string]string, read ...[]byte) Fingerprint {
	sum := sha256.New()
	fmt.Fprintf(sum, "%d keys\n", len(configuration))
	for _, name := range slices.Sorted(maps.Keys(configuration)) {
		write(sum, []byte(name))
		write(sum, []byte(configuration[name]))
	}
	for _, data := range read {
		write(sum, data)
	}
	return Fingerprint(sum.Sum(nil))
}

// write adds data with its length, so that "a", "bc" differs from "ab", "c".
func write(sum hash.Hash, data []byte) {
	fmt.Fprintf(sum, "%d\n", len(data))
	sum.Write(data)
}

// Current is the state that the last successful Init led to. The zero value has
// none. Load is for calls, Update for Init; both may run at the same time.
type Current[T any] struct {
	init  sync.Mutex
	state atomic.Pointer[state[T]]
}

type state[T any] struct {
	fingerprint Fingerprint
	value       *T
}

// Load returns the state, or nil before the first Init that succeeded. It does not
// change any more.
func (c *Current[T]) Load() *T {
	if s := c.state.Load(); s != nil {
		return s.value
	}
	return nil
}

// Store sets the state, without an Init.
func (c *Current[T]) Store(value *T) { c.state.Store(&state[T]{value: value}) }

// Update replaces the state as a whole by what prepare and connect make. prepare
// reads files and asks nobody; connect, which gets the state that is replaced or
// nil, may use the network and is not called when the fingerprint is that of the
// state. After an error the state is what it was.
func (c *Current[T]) Update(prepare func() (Fingerprint, error), connect func(previous *T) (*T, error)) error {
	c.init.Lock()
	defer c.init.Unlock()
	fingerprint, err := prepare()
	if err != nil {
		return err
	}
	previous := c.state.Load()
	if previous != nil && previous.fingerprint == fingerprint {
		return nil
	}
	value, err := connect(c.Load())
	if err != nil {
		return err
	}
	c.state.Store(&state[T]{fingerprint, value})
	return nil
}

// Exclusively runs do while no Update runs.
func (c *Current[T]) Exclusively(do func()) {
	c.init.Lock()
	defer c.init.Unlock()
	do()
}

// Need returns the state. Before the first Init that succeeded it returns an error
// with the code notReady. who begins the error's text, such as "the store".
func (c *Current[T]) Need(who string, notReady fault.Code) (*T, error) {
	if value := c.Load(); value != nil {
		return value, nil
	}
	return nil, &fault.Error{Code: notReady, What: who + " was used before its configuration"}
}
