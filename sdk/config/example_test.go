package config_test

import (
	"errors"
	"fmt"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

func ExampleKeys_Parse() {
	keys := config.Keys{
		config.String("root", "folder with the buckets").Required("missing root"),
		config.Int("partSizeMiB", 8, 5, 5120, "size of an uploaded part"),
		config.Bool("readOnly", "refuse to write"),
	}

	v, err := keys.Parse(map[string]string{"root": "/backups", "readOnly": "true"})
	fmt.Println(v.String("root"), v.Int("partSizeMiB"), v.Bool("readOnly"), err)

	// All that is wrong is reported together.
	_, err = keys.Parse(map[string]string{"rooot": "/backups", "partSizeMiB": "1"})
	fmt.Println(errors.Is(err, config.UnknownKey), errors.Is(err, config.InvalidValue), errors.Is(err, config.MissingKey))
	// Output:
	// /backups 8 true <nil>
	// true true true
}
