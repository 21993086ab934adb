package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
)

// serviceCAFile is where old releases of OpenShift give pods the authority of
// the cluster's services.
const serviceCAFile = "/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt"

// registryAuthorities returns the certificates, as PEM text, that may vouch for
// the cluster's registry: those of the cluster's services and of the cluster. A
// place that cannot be read is no error, since another one may be enough.
func (a *actions) registryAuthorities(ctx context.Context, namespace string) []byte {
	var all [][]byte
	add := func(where string, pem []byte, err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			slog.Warn("certificates to trust for the cluster's registry cannot be read", "from", where, "error", err)
		}
		all = append(all, pem)
	}
	pem, err := os.ReadFile(serviceCAFile)
	add(serviceCAFile, pem, err)
	published, err := a.cluster.Get(ctx, configMaps, namespace, "openshift-service-ca.crt")
	if published != nil {
		pem = []byte(textAt(published.Object, "data", "service-ca.crt"))
	} else {
		pem = nil
	}
	add("config map openshift-service-ca.crt", pem, err)
	pem, err = a.cluster.Authorities()
	add("the client configuration", pem, err)
	return bytes.Join(all, []byte("\n"))
}
