// Package incluster runs the aws object store with what a cluster gives to a pod:
// the token of a service account, which opens a role of the store and the API.
package incluster

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.ControlPlane, tools.MinIO) }

// One cluster and one MinIO, whose STS trusts it, serve all tests.
func TestInCluster(t *testing.T) {
	cluster := servers.ControlPlane(t)
	publishIssuer(t, cluster)
	minio, err := servers.StartMinIO(t.Context(), stack.MinIOOptions{Issuer: cluster})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("web identity", func(t *testing.T) { testWebIdentity(t, cluster, minio) })
	t.Run("customer key", func(t *testing.T) { testCustomerKeySecret(t, cluster, minio) })
}

// velero is the service account of the tests.
const velero = "velero"

// addServiceAccount makes a service account that may read the named secrets.
func addServiceAccount(t *testing.T, cluster *stack.ControlPlane, namespace string, secrets ...string) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: velero}}
	if _, err := cluster.Kubernetes.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(secrets) == 0 {
		return
	}
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: velero},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: secrets}},
	}
	if _, err := cluster.Kubernetes.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: velero},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: velero},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: velero, Namespace: namespace}},
	}
	if _, err := cluster.Kubernetes.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// token returns a token of the service account, for the API server when there is
// no audience.
func token(t *testing.T, cluster *stack.ControlPlane, namespace string, audience ...string) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audience}}
	got, err := cluster.Kubernetes.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), velero, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status.Token
}

// publishIssuer lets everybody read the keys that tokens are signed with, as
// clusters do whose tokens open roles elsewhere.
func publishIssuer(t *testing.T, cluster *stack.ControlPlane) {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "public-issuer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:service-account-issuer-discovery"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"}},
	}
	if _, err := cluster.Kubernetes.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// location is the configuration of a location in a bucket of MinIO.
func location(m *stack.MinIO, bucket string) map[string]string {
	return map[string]string{
		"bucket": bucket, "prefix": "", "region": stack.Region, "s3Url": m.TLSEndpoint, "caCert": string(m.CAPEM), "s3ForcePathStyle": "true",
	}
}

// newStore returns a store after its Init.
func newStore(t *testing.T, config map[string]string) (*s3.Store, error) {
	store := s3.New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	_, err := store.Init(t.Context(), sdk.InitInput{Config: config})
	return store, err
}

// roundTrip puts an object of several parts and reads it.
func roundTrip(t *testing.T, store *s3.Store, bucket, key string) {
	t.Helper()
	body := bytes.Repeat([]byte("0123456789abcdef"), 400<<10)
	if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
	object, err := store.GetObject(t.Context(), sdk.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if got, err := io.ReadAll(object.Body); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes come back, or others: %v", len(got), err)
	}
}

// check runs the steps of a check and returns what they found.
func check(t *testing.T, config map[string]string) (found map[string]string, failed string, err error) {
	t.Helper()
	steps, err := s3.New(slog.New(slog.DiscardHandler)).Checks(t.Context(), sdk.ChecksInput{Config: config})
	if err != nil {
		return nil, "config", err
	}
	found = map[string]string{}
	for _, step := range steps {
		if found[step.Name], err = step.Run(t.Context()); err != nil {
			return found, step.Name, err
		}
	}
	return found, "", nil
}

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
