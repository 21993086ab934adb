package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

var (
	itemType   = reflect.TypeFor[runtime.Unstructured]()
	readerType = reflect.TypeFor[io.Reader]()
	errorType  = reflect.TypeFor[error]()
)

// arguments decodes what a method is called with.
func arguments(method reflect.Type, encoded []json.RawMessage) ([]reflect.Value, error) {
	if len(encoded) != method.NumIn() {
		return nil, fmt.Errorf("%d arguments for %s", len(encoded), method)
	}
	var values []reflect.Value
	for i, text := range encoded {
		value, err := argument(method.In(i), text)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		values = append(values, value)
	}
	return values, nil
}

func argument(t reflect.Type, text json.RawMessage) (reflect.Value, error) {
	if t == readerType {
		var body []byte
		err := json.Unmarshal(text, &body)
		return reflect.ValueOf(bytes.NewReader(body)), err
	}
	value := reflect.New(t)
	prepareItems(value.Elem())
	return value.Elem(), json.Unmarshal(text, value.Interface())
}

// prepareItems gives items, which are interfaces, a type to decode into: those
// that are arguments and those in a struct that is one.
func prepareItems(value reflect.Value) {
	switch {
	case value.Type() == itemType:
		value.Set(reflect.ValueOf(&unstructured.Unstructured{}))
	case value.Kind() == reflect.Pointer && value.Type().Elem().Kind() == reflect.Struct:
		value.Set(reflect.New(value.Type().Elem()))
		for _, field := range value.Elem().Fields() {
			if field.Type() == itemType {
				prepareItems(field)
			}
		}
	}
}

// results encodes what a method has returned. Readers are read to their end.
func results(values []reflect.Value) ([]json.RawMessage, error) {
	encoded := []json.RawMessage{} // nil would be no answer to the client
	for _, value := range values {
		result := value.Interface()
		if value.Type() == errorType {
			if err, failed := result.(error); failed {
				return nil, err
			}
			continue
		}
		if object, ok := result.(io.ReadCloser); ok {
			body, err := io.ReadAll(object)
			if err != nil {
				return nil, err
			}
			if err := object.Close(); err != nil {
				return nil, err
			}
			result = body
		}
		text, err := json.Marshal(result)
		if err != nil {
			return nil, err
		}
		encoded = append(encoded, text)
	}
	return encoded, nil
}
