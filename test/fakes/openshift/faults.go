package openshift

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

// Requests matches requests of a method, or of any if it is "", whose path has
// something that matches the pattern.
func Requests(method, pattern string) func(*http.Request) bool {
	path := regexp.MustCompile(pattern)
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && path.MatchString(r.URL.Path)
	}
}

// Answer refuses the request with an error of a registry.
func Answer(status int, code string) inject.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		(&refusal{status: status, code: code, message: strings.ToLower(code)}).write(w)
	}
}
