package openshift_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.ControlPlane, tools.Registry) }

// site is a namespace of a cluster with a registry.
type site struct {
	*openshift.Registry
	t         *testing.T
	cluster   *stack.ControlPlane
	backend   *stack.Registry
	namespace string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, cluster: servers.ControlPlane(t), backend: servers.Registry(t)}
	if err := openshift.Install(t.Context(), s.cluster.Dynamic); err != nil {
		t.Fatal(err)
	}
	s.namespace = s.cluster.NewNamespace(t)
	s.start(s.backend)
	return s
}

// start puts the registry in front of another one.
func (s *site) start(backend *stack.Registry) {
	s.t.Helper()
	registry, err := openshift.StartRegistry(s.cluster, backend)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(registry.Close)
	s.Registry, s.backend = registry, backend
}

// The permissions that OpenShift's roles for registries give.
func pull() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"image.openshift.io"}, Resources: []string{"imagestreams/layers"}, Verbs: []string{"get"}}
}

func push() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"image.openshift.io"}, Resources: []string{"imagestreams/layers"}, Verbs: []string{"get", "update"}}
}

func create() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"image.openshift.io"}, Resources: []string{"imagestreams"}, Verbs: []string{"create"}}
}

// account makes a service account with permissions in the site's namespace, and
// returns its token.
func (s *site) account(account string, rules ...rbacv1.PolicyRule) string {
	s.t.Helper()
	ctx, meta := s.t.Context(), metav1.ObjectMeta{Name: account}
	_, err := s.cluster.Kubernetes.CoreV1().ServiceAccounts(s.namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	s.must(err)
	_, err = s.cluster.Kubernetes.RbacV1().Roles(s.namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
	s.must(err)
	_, err = s.cluster.Kubernetes.RbacV1().RoleBindings(s.namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: account}},
	}, metav1.CreateOptions{})
	s.must(err)
	request, err := s.cluster.Kubernetes.CoreV1().ServiceAccounts(s.namespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	s.must(err)
	return request.Status.Token
}

// admin is the token of somebody who may do everything.
func (s *site) admin() string { return s.cluster.Config.BearerToken }

// reference names an image of the site's namespace.
func (s *site) reference(image string) name.Reference {
	s.t.Helper()
	reference, err := name.ParseReference(s.Host + "/" + s.namespace + "/" + image)
	s.must(err)
	return reference
}

// push pushes an image whose content follows from a seed.
func (s *site) push(token, to string, seed uint64) (v1.Image, error) {
	s.t.Helper()
	image := s.image(seed)
	return image, remote.Write(s.reference(to), image, s.options(token)...)
}

func (s *site) options(token string) []remote.Option {
	return append(s.Remote(token), remote.WithContext(s.t.Context()))
}

func (s *site) image(seed uint64) v1.Image {
	s.t.Helper()
	image, err := sampleimage.Docker().Image(s.layer(seed), s.layer(seed+1))
	s.must(err)
	return image
}

func (s *site) layer(seed uint64) v1.Layer {
	s.t.Helper()
	layer, err := sampleimage.Layer(seed, 100_000)
	s.must(err)
	return layer
}

func (s *site) digest(of interface{ Digest() (v1.Hash, error) }) string {
	s.t.Helper()
	digest, err := of.Digest()
	s.must(err)
	return digest.String()
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
