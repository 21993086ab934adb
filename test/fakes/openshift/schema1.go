package openshift

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// ServeSchema1 gives an image stream an image of schema 1, whose layers the
// repository has. Today's registries have such images from the past and take no
// new ones.
func (r *Registry) ServeSchema1(ctx context.Context, repository, tag string, image sampleimage.Schema1) error {
	namespace, name, _ := strings.Cut(repository, "/")
	what := request{Manifests, namespace, name, tag}
	m := manifest{"application/vnd.docker.distribution.manifest.v1+prettyjws", image.Digest.String(), image.Content}
	r.mu.Lock()
	r.served[repository+"@"+m.digest] = m
	r.mu.Unlock()
	admin := authenticationv1.UserInfo{Username: "system:admin", Groups: []string{"system:masters"}}
	return r.mapImage(ctx, what, admin, m)
}

// servedManifest finds a manifest that the stock registry does not have.
func (r *Registry) servedManifest(repository, digest string) (manifest, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.served[repository+"@"+digest]
	return m, ok
}

func (m manifest) write(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(m.content)))
	w.Header().Set("Docker-Content-Digest", m.digest)
	if req.Method == http.MethodGet {
		_, _ = w.Write(m.content)
	}
}
