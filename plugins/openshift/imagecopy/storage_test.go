package imagecopy

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"k8s.io/client-go/rest"
)

// imagesAt returns the copying of images of a cluster that answers as the
// handler does.
func imagesAt(t *testing.T, handler http.Handler) *Images {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	cluster := kube.New(func() (*rest.Config, error) {
		return &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: authority(server)}}, nil
	})
	return New(cluster, settings.Read)
}

func authority(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// serving answers with the objects, which are YAML, at their paths.
func serving(t *testing.T, objects map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := objects[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(fieldstest.JSON(t, text))
	})
}

// A cluster is known by the id that OpenShift gives it, else by that of the
// namespace kube-system.
func TestClusterID(t *testing.T) {
	objects := map[string]string{
		"/api/v1/namespaces/kube-system": "{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, uid: some-uid}}",
	}
	for _, want := range []string{"some-uid", "some-id"} {
		if id, err := imagesAt(t, serving(t, objects)).clusterID(t.Context()); err != nil || id != want {
			t.Errorf("cluster id %q, %v; want %q", id, err, want)
		}
		objects["/apis/config.openshift.io/v1/clusterversions/version"] =
			"{apiVersion: config.openshift.io/v1, kind: ClusterVersion, metadata: {name: version}, spec: {clusterID: some-id}}"
	}
	if id, err := imagesAt(t, http.NotFoundHandler()).clusterID(t.Context()); err == nil {
		t.Errorf("cluster id %q of a cluster without namespaces", id)
	}
}

// The registry's certificate may come from the authority of the services or
// from that of the cluster.
func TestRegistryAuthorities(t *testing.T) {
	images := imagesAt(t, serving(t, map[string]string{
		"/api/v1/namespaces/velero/configmaps/openshift-service-ca.crt": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {service-ca.crt: of the services}}",
	}))
	of := string(images.registryAuthorities(t.Context(), "velero"))
	if !strings.Contains(of, "of the services") || !strings.Contains(of, "BEGIN CERTIFICATE") {
		t.Errorf("the authorities are %q", of)
	}
}
