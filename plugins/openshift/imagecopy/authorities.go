package imagecopy

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
)

// serviceCAFile is where old releases of OpenShift give pods the authority of
// the cluster's services.
const serviceCAFile = "/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt"

// registryAuthorities returns the certificates, as PEM text, that may vouch for
// the cluster's registry: those of the cluster's services and of the cluster. A
// place that cannot be read is no error, since another one may be enough.
func (i *Images) registryAuthorities(ctx context.Context, namespace string) []byte {
	var all [][]byte
	add := func(where string, pem []byte, err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			slog.Warn("certificates to trust for the cluster's registry cannot be read", "from", where, "error", err)
		}
		all = append(all, pem)
	}
	pem, err := os.ReadFile(serviceCAFile)
	add(serviceCAFile, pem, err)
	published, err := i.cluster.Get(ctx, api.ConfigMaps, namespace, "openshift-service-ca.crt")
	if published != nil {
		pem = []byte(fields.TextAt(published.Object, "data", "service-ca.crt"))
	} else {
		pem = nil
	}
	add("config map openshift-service-ca.crt", pem, err)
	pem, err = i.cluster.Authorities()
	add("the client configuration", pem, err)
	return bytes.Join(all, []byte("\n"))
}
