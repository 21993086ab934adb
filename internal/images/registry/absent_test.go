package registry

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// Only the registry itself says that something does not exist, by its codes: what
// is absent may be left out of a backup.
func TestWhoSaysAbsent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		absent bool
	}{
		"manifest":        {func(w http.ResponseWriter) { fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN") }, true},
		"blob":            {func(w http.ResponseWriter) { fail(w, http.StatusNotFound, "BLOB_UNKNOWN") }, true},
		"repository":      {func(w http.ResponseWriter) { fail(w, http.StatusNotFound, "NAME_UNKNOWN") }, true},
		"page of a proxy": {func(w http.ResponseWriter) { http.Error(w, "<html>not here</html>", http.StatusNotFound) }, false},
		"no body":         {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, false},
		"other code":      {func(w http.ResponseWriter) { fail(w, http.StatusNotFound, "UNSUPPORTED") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.answer(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/v2/ns/") {
					return false
				}
				c.answer(w)
				return true
			})
			client, _ := newClient(t, Config{Host: s.host})
			blob := newContent(10)
			_, manifestErr := client.Manifest(t.Context(), "ns/a", blob.Digest)
			_, blobErr := client.Blob(t.Context(), "ns/a", images.Descriptor{Digest: blob.Digest, Size: 10})
			for _, err := range []error{manifestErr, blobErr} {
				if err == nil || errors.Is(err, fs.ErrNotExist) != c.absent || !strings.Contains(err.Error(), blob.Digest.String()) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}
