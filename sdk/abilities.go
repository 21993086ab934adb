package sdk

import (
	"fmt"
	"reflect"
	"strings"
)

// ability is an optional interface of a kind.
type ability struct {
	name    string       // sdk.BackupOperations
	whole   reflect.Type // the interface
	methods []foundMethod
}

// foundMethod is a method of the interface, and whether a type has one of that
// name.
type foundMethod struct {
	name    string
	want    string // its parameters and results
	present bool
}

// abilityError is a mistake in the type of an implementation. It does not pass
// while the process runs.
type abilityError string

func (e abilityError) Error() string { return string(e) }

// checkAbilities returns an error when a value has a part of an optional
// interface of its kind: Velero would otherwise be told that it has nothing of
// it, and the operations of such an action would be lost without a word.
func checkAbilities(kind, name string, value any) error {
	t := reflect.TypeOf(value)
	if t == nil {
		return abilityError(fmt.Sprintf("%s %s: the constructor has returned nil and no error", kind, name))
	}
	for _, a := range abilitiesOf(kind, t) {
		if err := a.check(t); err != nil {
			return abilityError(fmt.Sprintf("%s %s: %v", kind, name, err))
		}
		if inner := hidden(reflect.ValueOf(value), baseOf(kind), a.whole); inner != nil {
			return abilityError(fmt.Sprintf("%s %s: %s wraps %s and hides that it is %s; embed a %s instead, or implement its methods",
				kind, name, t, inner, withArticle(a.name), a.name))
		}
	}
	return nil
}

func withArticle(name string) string {
	if name == "sdk.ItemsReadiness" || name == "sdk.ObjectStore" {
		return "an " + name
	}
	return "a " + name
}

func (a ability) check(t reflect.Type) error {
	if t.Implements(a.whole) {
		return nil
	}
	if t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(a.whole) {
		return fmt.Errorf("only a pointer to %s is %s, since some of its methods have pointer receivers; return a pointer from the constructor", t, withArticle(a.name))
	}
	some, missing := false, ""
	for _, m := range a.methods {
		if m.present {
			some = true
		} else if missing == "" {
			missing = m.name
		}
	}
	switch {
	case !some:
		return nil
	case missing != "":
		return fmt.Errorf("%s has a part of %s but no method %s; add it, or remove the others", t, a.name, missing)
	}
	var want []string
	for _, m := range a.methods {
		want = append(want, m.name+m.want)
	}
	return fmt.Errorf("%s has the methods of %s with other parameters or results; it needs %s", t, a.name, strings.Join(want, " and "))
}

// abilitiesOf returns the optional interfaces of a kind, and which of their
// methods t has. The names of methods are constants at each call of
// MethodByName: for a name in a variable the linker would have to keep every
// method of every type in the binary.
func abilitiesOf(kind string, t reflect.Type) []ability {
	switch kind {
	case kindBackupItemAction:
		_, progress := t.MethodByName("BackupProgress")
		_, cancel := t.MethodByName("CancelBackup")
		return []ability{{"sdk.BackupOperations", reflect.TypeFor[BackupOperations](), []foundMethod{
			{"BackupProgress", "(context.Context, sdk.BackupOperation) (sdk.Progress, error)", progress},
			{"CancelBackup", "(context.Context, sdk.BackupOperation) (sdk.CancelResult, error)", cancel},
		}}}
	case kindRestoreItemAction:
		_, progress := t.MethodByName("RestoreProgress")
		_, cancel := t.MethodByName("CancelRestore")
		_, ready := t.MethodByName("ItemsReady")
		return []ability{
			{"sdk.RestoreOperations", reflect.TypeFor[RestoreOperations](), []foundMethod{
				{"RestoreProgress", "(context.Context, sdk.RestoreOperation) (sdk.Progress, error)", progress},
				{"CancelRestore", "(context.Context, sdk.RestoreOperation) (sdk.CancelResult, error)", cancel},
			}},
			{"sdk.ItemsReadiness", reflect.TypeFor[ItemsReadiness](), []foundMethod{
				{"ItemsReady", "(context.Context, sdk.ItemsReadyInput) (sdk.ItemsReadyResult, error)", ready},
			}},
		}
	case kindObjectStore, kindVolumeSnapshotter:
		_, keys := t.MethodByName("ConfigKeys")
		_, checks := t.MethodByName("Checks")
		return []ability{
			{"sdk.Configured", reflect.TypeFor[Configured](), []foundMethod{
				{"ConfigKeys", "() config.Keys", keys},
			}},
			{"sdk.Checked", reflect.TypeFor[Checked](), []foundMethod{
				{"Checks", "(context.Context, sdk.ChecksInput) ([]sdk.Check, error)", checks},
			}},
		}
	}
	return nil
}

// baseOf returns the interface that every value of a kind has.
func baseOf(kind string) reflect.Type {
	switch kind {
	case kindBackupItemAction:
		return reflect.TypeFor[BackupItemAction]()
	case kindRestoreItemAction:
		return reflect.TypeFor[RestoreItemAction]()
	case kindObjectStore:
		return reflect.TypeFor[ObjectStore]()
	}
	return reflect.TypeFor[VolumeSnapshotter]()
}

// hidden returns the type of the value that v wraps if that has an ability which
// v has not: v is a struct, or a pointer to one, with a field of the type base.
// Without a difference it returns nil.
func hidden(v reflect.Value, base, whole reflect.Type) reflect.Type {
	if v.Type().Implements(whole) {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		field := v.Field(i)
		if field.Type() != base || field.IsNil() {
			continue
		}
		if inner := field.Elem().Type(); inner.Implements(whole) {
			return inner
		}
	}
	return nil
}
