package openshift

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// defaultLifetime is that of tokens for the registry.
	defaultLifetime = time.Hour
	// anonymous is the token of clients without credentials.
	anonymous = "anonymous"
)

// issued is a token for the registry.
type issued struct {
	user authenticationv1.UserInfo
	ends time.Time
}

// SetTokenLifetime sets how long tokens are good that the registry issues from
// now on.
func (r *Registry) SetTokenLifetime(lifetime time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lifetime = lifetime
}

// ExpireTokens ends all tokens that the registry has issued.
func (r *Registry) ExpireTokens() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.tokens)
}

// unknownScope has a repository of another form than those of OpenShift.
var unknownScope = regexp.MustCompile(`\brepository:([^/: ]*|[^/: ]*/[^: ]*/[^: ]*):`)

// serveToken gives a token for the registry to whoever has one of the cluster.
// What its user may do is asked for with each request, whatever the scope.
func (r *Registry) serveToken(w http.ResponseWriter, req *http.Request) {
	for _, scope := range req.URL.Query()["scope"] {
		if unknownScope.MatchString(scope) {
			writeJSON(w, http.StatusUnauthorized, map[string]any{"details": "a repository has the names of a namespace and an image stream"})
			return
		}
	}
	token := anonymous
	if req.Header.Get("Authorization") != "" {
		_, password, _ := req.BasicAuth()
		user, err := r.review(req.Context(), password)
		if err != nil {
			unknown(err).write(w)
			return
		}
		if user == nil {
			writeJSON(w, http.StatusUnauthorized, nil)
			return
		}
		token = r.issue(*user)
	}
	writeJSON(w, http.StatusOK, map[string]any{"token": token, "access_token": token})
}

func (r *Registry) issue(user authenticationv1.UserInfo) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	token := rand.Text()
	r.tokens[token] = issued{user, time.Now().Add(r.lifetime)}
	return token
}

// authorize finds out who sends a request, and that they may. A client may send
// a token of the cluster in place of one of the registry.
func (r *Registry) authorize(req *http.Request, what request) (authenticationv1.UserInfo, *refusal) {
	token, known := credentials(req)
	if !known {
		return authenticationv1.UserInfo{}, unauthorized(fmt.Sprintf("Bearer realm=%q", "https://"+r.Host+"/openshift/token"))
	}
	user, err := r.identify(req.Context(), token)
	if err != nil {
		return authenticationv1.UserInfo{}, unknown(err)
	}
	denied := unauthorized(`Basic realm=openshift,error="access denied"`)
	if user == nil {
		return authenticationv1.UserInfo{}, denied
	}
	for _, attributes := range what.attributes(req.Method) {
		allowed, err := r.allowed(req.Context(), *user, attributes)
		if err != nil {
			return *user, unknown(err)
		}
		if !allowed {
			return *user, denied
		}
	}
	return *user, r.limitMount(req, *user)
}

func unauthorized(challenge string) *refusal {
	return &refusal{http.StatusUnauthorized, "UNAUTHORIZED", "authentication required", challenge}
}

// credentials returns the token of a request.
func credentials(req *http.Request) (token string, known bool) {
	if _, password, ok := req.BasicAuth(); ok {
		return password, true
	}
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	return token, strings.EqualFold(scheme, "bearer")
}

// identify returns the user of a token, or nil for one that is no good.
func (r *Registry) identify(ctx context.Context, token string) (*authenticationv1.UserInfo, error) {
	if token == anonymous {
		return &authenticationv1.UserInfo{Username: "system:anonymous", Groups: []string{"system:unauthenticated"}}, nil
	}
	r.mu.Lock()
	found, ok := r.tokens[token]
	r.mu.Unlock()
	if ok && time.Now().Before(found.ends) {
		return &found.user, nil
	}
	return r.review(ctx, token)
}

// review returns the user of a token of the cluster, or nil.
func (r *Registry) review(ctx context.Context, token string) (*authenticationv1.UserInfo, error) {
	if token == "" {
		return nil, nil
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	review, err := r.cluster.Kubernetes.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil || !review.Status.Authenticated {
		return nil, err
	}
	return &review.Status.User, nil
}

// attributes are those of the permissions that a request takes.
func (r request) attributes(method string) []authorizationv1.ResourceAttributes {
	switch {
	case r.resource == Version:
		return nil
	case r.resource == Catalog:
		return []authorizationv1.ResourceAttributes{{Verb: "list", Group: imageGroup, Resource: "imagestreams"}}
	case method == http.MethodDelete && r.resource != Uploads:
		return []authorizationv1.ResourceAttributes{{Verb: "delete", Group: imageGroup, Resource: "images"}}
	}
	pull := layers(r.namespace, r.name, "get")
	if method == http.MethodGet || method == http.MethodHead {
		return []authorizationv1.ResourceAttributes{pull}
	}
	return []authorizationv1.ResourceAttributes{pull, layers(r.namespace, r.name, "update")}
}

func layers(namespace, name, verb string) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{
		Namespace: namespace, Name: name, Verb: verb, Group: imageGroup, Resource: "imagestreams", Subresource: "layers",
	}
}

func (r *Registry) allowed(ctx context.Context, user authenticationv1.UserInfo, attributes authorizationv1.ResourceAttributes) (bool, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, value := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(value)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &attributes, User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
	}}
	review, err := r.cluster.Kubernetes.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// limitMount turns the request for a blob of a repository that the user may not
// pull from into the start of an upload.
func (r *Registry) limitMount(req *http.Request, user authenticationv1.UserInfo) *refusal {
	query := req.URL.Query()
	from := query.Get("from")
	if from == "" {
		return nil
	}
	namespace, name, _ := strings.Cut(from, "/")
	allowed, err := r.allowed(req.Context(), user, layers(namespace, name, "get"))
	if err != nil {
		return unknown(err)
	}
	if !allowed {
		query.Del("from")
		query.Del("mount")
		req.URL.RawQuery = query.Encode()
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if content != nil {
		_ = json.NewEncoder(w).Encode(content)
	}
}
