package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// Tokens of the cluster open OpenShift's registry as far as their users'
// permissions go, and longer than those that the registry issues for them.
func TestOpenShift(t *testing.T) {
	t.Parallel()
	cluster := servers.ControlPlane(t)
	if err := openshift.Install(t.Context(), cluster.Dynamic); err != nil {
		t.Fatal(err)
	}
	site, err := openshift.StartRegistry(cluster, startRegistry(t, stack.RegistryOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	namespace, other := cluster.NewNamespace(t), cluster.NewNamespace(t)
	as := func(token string) (*Client, *pauses) {
		return newClient(t, Config{Host: site.Host, CAs: site.CAPEM, Credential: func(context.Context) (string, string, error) {
			return "ignored", token, nil
		}})
	}

	admin, paused := as(cluster.Config.BearerToken)
	config, layer := newContent(100), newContent(300<<10)
	m := manifestOf(config, layer)
	for _, repository := range []string{namespace + "/app", other + "/app"} {
		site.ResetCounts()
		for _, b := range []content{config, layer} {
			if _, err := admin.PutBlob(t.Context(), repository, b.Descriptor, b.open); err != nil {
				t.Fatal(err)
			}
		}
		if n := site.Counts().Requests[openshift.Request{Method: http.MethodGet, Resource: openshift.Tokens}]; n != 1 {
			t.Errorf("%s: %d tokens", repository, n)
		}
		site.ExpireTokens()
		if err := admin.PutManifest(t.Context(), repository, m); err != nil {
			t.Error(err)
		}
		site.ExpireTokens()
		if err := admin.Tag(t.Context(), repository, "latest", m); err != nil {
			t.Error(err)
		}
	}
	if n := site.Counts().Received; n != 0 {
		t.Errorf("%d bytes were sent for blobs that could be mounted", n)
	}
	if len(paused.all()) != 0 {
		t.Errorf("pauses %v", paused.all())
	}

	site.RedirectBlobs(true)
	puller, paused := as(pullerToken(t, cluster, namespace))
	if found, err := puller.Manifest(t.Context(), namespace+"/app", m.Digest); err != nil || string(found.Content) != string(m.Content) {
		t.Errorf("manifest %+v, %v", found, err)
	}
	if err := read(t, puller, namespace+"/app", layer); err != nil {
		t.Error(err)
	}
	if len(site.Redirected()) != 1 {
		t.Errorf("%d redirections", len(site.Redirected()))
	}
	b := newContent(10)
	_, pushErr := puller.PutBlob(t.Context(), namespace+"/app", b.Descriptor, b.open)
	for what, err := range map[string]error{"push": pushErr, "pull from elsewhere": read(t, puller, other+"/app", layer)} {
		if !errors.Is(err, CodeUnauthorized) || !strings.Contains(err.Error(), "imagestreams/layers") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(paused.all()) != 0 {
		t.Errorf("pauses %v", paused.all())
	}
}

// pullerToken returns the token of a service account that may pull from a
// namespace.
func pullerToken(t *testing.T, cluster *stack.ControlPlane, namespace string) string {
	t.Helper()
	ctx, meta := t.Context(), metav1.ObjectMeta{Name: "puller"}
	accounts := cluster.Kubernetes.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"image.openshift.io"}, Resources: []string{"imagestreams/layers"}, Verbs: []string{"get"},
	}}}
	if _, err := cluster.Kubernetes.RbacV1().Roles(namespace).Create(ctx, role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Kubernetes.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: meta.Name}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := accounts.CreateToken(ctx, meta.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}
