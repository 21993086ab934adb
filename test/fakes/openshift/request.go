package openshift

import (
	"net/http"
	"regexp"
	"strings"
)

// Resource is what a request to a registry is about.
type Resource string

// The resources.
const (
	Tokens    Resource = "tokens"
	Manifests Resource = "manifests"
	Blobs     Resource = "blobs"
	Uploads   Resource = "uploads" // of blobs, from their start to their end
	Tags      Resource = "tags"
	Catalog   Resource = "catalog"
	Version   Resource = "version" // where clients see that it is a registry
	Other     Resource = ""
)

// request is what the path of a request says.
type request struct {
	resource  Resource
	namespace string
	name      string // of the image stream
	reference string // tag or digest
}

func (r request) repository() string { return r.namespace + "/" + r.name }

// byTag reports whether the reference of a manifest is a tag.
func (r request) byTag() bool { return !strings.Contains(r.reference, ":") }

// Repositories of OpenShift have a namespace and an image stream.
var repositoryPath = regexp.MustCompile(`^/v2/([^/]+)/([^/]+)/(manifests|blobs|tags)/(.+)$`)

func parseRequest(req *http.Request) request {
	switch req.URL.Path {
	case "/v2/":
		return request{resource: Version}
	case "/v2/_catalog":
		return request{resource: Catalog}
	case "/openshift/token":
		return request{resource: Tokens}
	}
	m := repositoryPath.FindStringSubmatch(req.URL.Path)
	if m == nil {
		return request{resource: Other}
	}
	r := request{Resource(m[3]), m[1], m[2], m[4]}
	if r.resource == Blobs && strings.HasPrefix(r.reference, "uploads/") {
		r.resource = Uploads
	}
	return r
}

// refusal is an error as registries answer it.
type refusal struct {
	status    int
	code      string
	message   string
	challenge string // for the credentials to send
}

func (e *refusal) write(w http.ResponseWriter) {
	if e.challenge != "" {
		w.Header().Set("WWW-Authenticate", e.challenge)
	}
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	writeJSON(w, e.status, map[string]any{"errors": []problem{{e.code, e.message}}})
}

func unknown(err error) *refusal {
	return &refusal{status: http.StatusInternalServerError, code: "UNKNOWN", message: err.Error()}
}
