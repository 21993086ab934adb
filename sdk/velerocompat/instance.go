package velerocompat

import (
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
)

// instance is an implementation of Velero's interface T that is made on first
// use.
type instance[T any] struct {
	initialize HandlerInitializer
	log        *slog.Logger

	mu   sync.Mutex
	made bool
	impl T
}

func newInstance[T any](initialize HandlerInitializer, log *slog.Logger) *instance[T] {
	return &instance[T]{initialize: initialize, log: log}
}

func newAction[T velero.Applicable](initialize HandlerInitializer, host sdk.Host) action[T] {
	return action[T]{newInstance[T](initialize, host.Logger)}
}

// get returns the implementation. An error of its initializer is returned, and
// the next call tries again.
func (i *instance[T]) get() (T, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.made {
		return i.impl, nil
	}
	made, err := i.initialize(newLogger(i.log.Handler()))
	if err != nil {
		return i.impl, err
	}
	impl, ok := made.(T)
	if !ok {
		return i.impl, fmt.Errorf("the plugin registers a %T, which is no %s", made, reflect.TypeFor[T]())
	}
	i.impl, i.made = impl, true
	return impl, nil
}
