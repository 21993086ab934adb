package sdk

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// registry holds the implementations of one kind by their registered names.
type registry[T any] map[string]*registration[T]

// registration is one name and what is registered under it.
type registration[T any] struct {
	construct func() (T, error)

	mu    sync.Mutex // held while the value is constructed
	made  bool
	value T
}

// get returns the value. The first call constructs it; after an error the next
// call tries again. It panics if the constructor panics.
func (r *registration[T]) get() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made {
		return r.value, nil
	}
	value, err := r.construct()
	if err != nil {
		var none T
		return none, err
	}
	r.value, r.made = value, true
	return value, nil
}

func register[T any](p *Plugin, r *registry[T], kind, name string, construct func(Host) (T, error)) {
	if err := validName(name); err != nil {
		p.problems = append(p.problems, err)
	}
	if construct == nil {
		p.problems = append(p.problems, fmt.Errorf("%s %s is registered without a constructor", kind, name))
	}
	if *r == nil {
		*r = registry[T]{}
	}
	if _, taken := (*r)[name]; taken {
		p.problems = append(p.problems, fmt.Errorf("%s is registered twice", name))
	}
	(*r)[name] = &registration[T]{construct: func() (T, error) {
		value, err := construct(p.host(kind, name))
		if err != nil {
			return value, fmt.Errorf("%s %s cannot start: %w", kind, name, err)
		}
		if err := checkAbilities(kind, name, value); err != nil {
			return value, err
		}
		p.closeAtEnd(value)
		return value, nil
	}}
}

// find returns the implementation of that name.
func (r registry[T]) find(name string) (T, error) {
	registered, ok := r[name]
	if !ok {
		var none T
		return none, fmt.Errorf(" plugin: %s was not found or has an invalid name format", name)
	}
	return registered.get()
}

// names returns the registered names in order.
func (r registry[T]) names() []string { return slices.Sorted(maps.Keys(r)) }

// validName returns an error unless the host accepts the name: a DNS subdomain,
// a slash and anything but a slash.
func validName(name string) error {
	domain, rest, ok := strings.Cut(name, "/")
	if !ok || rest == "" || strings.Contains(rest, "/") || !subdomain(domain) {
		return fmt.Errorf("%q is not a plugin name: use a domain, a slash and a name, as in example.io/name", name)
	}
	return nil
}

// subdomain reports whether s is a subdomain in the sense of RFC 1123.
func subdomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}

// closeTime is what implementations have for their Close. The host kills the
// process two seconds after it has asked for its end, and nobody does when the
// host has died.
const closeTime = 2 * time.Second

// closeAtEnd notes a value that is to be closed before the process ends, if it
// can be closed. A value that is registered under several names is noted once.
func (p *Plugin) closeAtEnd(value any) {
	c, ok := value.(io.Closer)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.closers, func(other io.Closer) bool { return same(c, other) }) {
		p.closers = append(p.closers, c)
	}
}

// same reports whether two closers are one value. Values of types that cannot be
// compared are never the same.
func same(a, b io.Closer) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// close closes the implementations that were used and can be closed.
func (p *Plugin) close() {
	p.mu.Lock()
	closers := p.closers
	p.closers = nil
	p.mu.Unlock()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, c := range closers {
			if err := closeOne(c); err != nil {
				p.log.Debug("closing an implementation", "error", err)
			}
		}
	}()
	select {
	case <-closed:
	case <-time.After(closeTime):
		p.log.Debug("an implementation is still closing", "waited", closeTime.String())
	}
}

// closeOne closes a value. A panic of its Close must not end the process with an
// error, which Velero would log as a crash.
func closeOne(c io.Closer) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = errors.Join(err, fmt.Errorf("closing %T: panic: %v", c, v))
		}
	}()
	return c.Close()
}
