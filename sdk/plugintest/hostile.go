package plugintest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// panicked returns an error if the error of a call says that the plugin panicked.
func panicked(err error) error {
	answer := status.Convert(err)
	if answer.Code() == codes.Aborted && strings.Contains(answer.Message(), "panicked") {
		return fmt.Errorf("it panics: %.300s", answer.Message())
	}
	return nil
}

// sample is an object to hand to a plugin, and what is special about it.
type sample struct {
	about string
	json  []byte
}

// distorted returns copies of an object, each with one value of another type
// or without it. It goes as deep as the given number of keys; of a list it
// takes the first element.
func distorted(object []byte, depth int) ([]sample, error) {
	var values any
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	if err := decoder.Decode(&values); err != nil {
		return nil, err
	}
	d := distorter{root: values}
	d.walk("", values, depth)
	return d.found, d.err
}

// distorter changes root in one place at a time and puts it back as it was.
type distorter struct {
	root  any
	found []sample
	err   error
}

func (d *distorter) walk(path string, value any, depth int) {
	if depth == 0 {
		return
	}
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			old, place := value[key], path+"."+key
			delete(value, key)
			d.keep(place + " absent")
			for _, other := range otherValues() {
				value[key] = other
				d.keep(fmt.Sprintf("%s = %s", place, encoded(other)))
			}
			value[key] = old
			d.walk(place, old, depth-1)
		}
	case []any:
		if len(value) == 0 {
			return
		}
		old, place := value[0], path+"[0]"
		for _, other := range otherValues() {
			value[0] = other
			d.keep(fmt.Sprintf("%s = %s", place, encoded(other)))
		}
		value[0] = old
		d.walk(place, old, depth-1)
	}
}

func (d *distorter) keep(about string) {
	object, err := json.Marshal(d.root)
	if err != nil {
		d.err = err
		return
	}
	d.found = append(d.found, sample{strings.TrimPrefix(about, "."), object})
}

// otherValues are what distorter puts in place of a value.
func otherValues() []any {
	return []any{nil, 7, "", []any{}, []any{nil}, map[string]any{}}
}

func encoded(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
