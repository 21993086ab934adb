package security

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	fakes "github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/recorder"
	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// What belongs to the administrator, and must reach no server of a user.
const (
	adminAccessKey = "ADMINISTRATORKEY"
	adminSecretKey = "the-secret-key-of-the-administrator"
	adminSSEKey    = "the-customer-key-of-the-admin-32" // 32 bytes, in a secret beside Velero
)

// victim is the namespace of somebody else, with an image stream called app.
const victim = "victim"

// cluster is a cluster of OpenShift whose Velero server, store and registry are
// reached through recorders.
type cluster struct {
	*stack.ControlPlane
	velero   *stack.Velero
	store    *stack.MinIO
	registry *fakes.Registry

	api   *recorder.Recorder // in front of the API server, for Velero and its plugins
	s3    *recorder.Recorder // in front of the store
	pulls *requests          // at the registry

	tokenFile string // of Velero's service account
	token     string
	adminFile string // the administrator's credential, which Velero's environment names
	image     v1.Image
}

// requests are the requests that arrived at the registry.
type requests struct {
	mu   sync.Mutex
	list []*http.Request
}

func (r *requests) note(request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, request)
}

// take returns the requests so far, and forgets them.
func (r *requests) take() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

var shared = sync.OnceValues(newCluster)

// theCluster returns what the tests share. The first call starts it.
func theCluster(t *testing.T) *cluster {
	t.Helper()
	c, err := shared()
	must(t, err)
	return c
}

func newCluster() (*cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	control, err := servers.StartControlPlane(ctx)
	if err != nil {
		return nil, err
	}
	c := &cluster{ControlPlane: control, pulls: &requests{}}
	for _, step := range []func(context.Context) error{c.startStore, c.startRegistry, c.addVictim, c.addAccount, c.startVelero} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *cluster) startStore(ctx context.Context) (err error) {
	if c.store, err = servers.StartMinIO(ctx, stack.MinIOOptions{}); err != nil {
		return err
	}
	c.s3, err = recorder.Start(c.store.TLSEndpoint, c.store.Transport())
	return err
}

func (c *cluster) startRegistry(ctx context.Context) error {
	if err := fakes.Install(ctx, c.Dynamic); err != nil {
		return err
	}
	backend, err := servers.StartRegistry(ctx, stack.RegistryOptions{})
	if err != nil {
		return err
	}
	if c.registry, err = fakes.StartRegistry(c.ControlPlane, backend); err != nil {
		return err
	}
	c.registry.Inject(inject.Always, func(r *http.Request) bool {
		c.pulls.note(r.Clone(context.Background()))
		return false
	}, nil)
	for _, object := range []map[string]any{
		{"apiVersion": "config.openshift.io/v1", "kind": "Image", "status": map[string]any{"internalRegistryHostname": c.registry.Host}},
		{"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "status": map[string]any{"desired": map[string]any{"version": "4.18.1"}}},
		{"apiVersion": "imageregistry.operator.openshift.io/v1", "kind": "Config", "spec": map[string]any{"managementState": "Managed"}},
	} {
		o := &unstructured.Unstructured{Object: object}
		o.SetName("cluster")
		plural := map[string]string{"Image": "images", "ClusterVersion": "clusterversions", "Config": "configs"}[o.GetKind()]
		if o.GetKind() == "ClusterVersion" {
			o.SetName("version")
		}
		if _, err := c.Dynamic.Resource(o.GroupVersionKind().GroupVersion().WithResource(plural)).Create(ctx, o, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// addVictim makes the namespace of somebody else, with an image.
func (c *cluster) addVictim(ctx context.Context) error {
	if err := c.CreateNamespace(ctx, victim); err != nil {
		return err
	}
	layer, err := sampleimage.Layer(1, 50_000)
	if err != nil {
		return err
	}
	if c.image, err = sampleimage.Docker().Image(layer); err != nil {
		return err
	}
	return c.push(ctx, victim+"/app", c.image)
}

// push puts an image into the registry, with the tag v1. repository has the form
// NAMESPACE/STREAM.
func (c *cluster) push(ctx context.Context, repository string, image v1.Image) error {
	to, err := name.NewTag(c.registry.Host + "/" + repository + ":v1")
	if err != nil {
		return err
	}
	options := append(c.registry.Remote(c.Config.BearerToken), remote.WithContext(ctx))
	return remote.Write(to, image, options...)
}

// addAccount makes Velero's service account with the rights of an administrator,
// and files as a pod has them.
func (c *cluster) addAccount(ctx context.Context) error {
	account := metav1.ObjectMeta{Name: "velero"}
	_, err := c.Kubernetes.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Create(ctx, &corev1.ServiceAccount{ObjectMeta: account}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = c.Kubernetes.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: account,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceDefault, Name: account.Name}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	request, err := c.Kubernetes.CoreV1().ServiceAccounts(metav1.NamespaceDefault).CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	c.token = request.Status.Token
	c.tokenFile = filepath.Join(servers.Dir(), "token")
	c.adminFile = filepath.Join(servers.Dir(), "cloud")
	return errors.Join(
		os.WriteFile(c.tokenFile, []byte(c.token), 0o600),
		os.WriteFile(c.adminFile, adminCredential(), 0o600),
	)
}

func adminCredential() []byte {
	return fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", adminAccessKey, adminSecretKey)
}

// startVelero starts the server as OADP does for an administrator who has a
// default credential, a customer key and images of image streams in backups.
func (c *cluster) startVelero(ctx context.Context) error {
	kubeconfig, err := c.recordedKubeconfig()
	if err != nil {
		return err
	}
	c.velero, err = servers.StartVelero(ctx, c.ControlPlane, stack.VeleroOptions{
		Plugins: []string{stack.BuiltPlugin("../..", "velero-plugin-for-aws"), stack.BuiltPlugin("../..", "velero-plugins")},
		Env: []string{
			"KUBECONFIG=" + kubeconfig, "OPENSHIFT_IMAGESTREAM_BACKUP=true",
			"AWS_SHARED_CREDENTIALS_FILE=" + c.adminFile, "OADP_IMAGE_GC_GRACE=1ms",
		},
	})
	if err != nil {
		return err
	}
	secrets := c.Kubernetes.CoreV1().Secrets(stack.VeleroNamespace)
	for name, data := range map[string]map[string][]byte{
		"cloud-credentials": {"cloud": adminCredential()},
		"customer-key":      {"key": []byte(adminSSEKey)},
	} {
		if _, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return c.registry.PublishCA(ctx, stack.VeleroNamespace)
}

// recordedKubeconfig writes a kubeconfig that leads through a recorder.
func (c *cluster) recordedKubeconfig() (string, error) {
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		return "", err
	}
	for _, to := range config.Clusters {
		roots := x509.NewCertPool()
		authority := to.CertificateAuthorityData
		if to.CertificateAuthority != "" {
			if authority, err = os.ReadFile(to.CertificateAuthority); err != nil {
				return "", err
			}
		}
		roots.AppendCertsFromPEM(authority)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 100}
		if c.api, err = recorder.Start(to.Server, transport); err != nil {
			return "", err
		}
		*to = clientcmdapi.Cluster{Server: c.api.URL, CertificateAuthorityData: c.api.CAPEM}
	}
	for _, user := range config.AuthInfos {
		*user = clientcmdapi.AuthInfo{TokenFile: c.tokenFile}
	}
	file := filepath.Join(servers.Dir(), "kubeconfig-recorded")
	return file, clientcmd.WriteToFile(*config, file)
}

// streams are the image streams of a namespace.
func (c *cluster) streams(namespace string) dynamic.ResourceInterface {
	return c.Dynamic.Resource(schema.GroupVersionResource{Group: "image.openshift.io", Version: "v1", Resource: "imagestreams"}).Namespace(namespace)
}

// secretForms are the texts by which something of the administrator's is known,
// in whatever encoding it is sent.
func (c *cluster) secretForms() map[string][]byte {
	return map[string][]byte{
		"the token of Velero's service account": []byte(c.token),
		"the administrator's secret key":        []byte(adminSecretKey),
		"the administrator's access key":        []byte(adminAccessKey),
		"the administrator's customer key":      []byte(adminSSEKey),
		"the same key in base64":                []byte(base64Of(adminSSEKey)),
	}
}

// mustHideSecrets expects that no secret of the administrator is in a text, and
// names what is there.
func (c *cluster) mustHideSecrets(t *testing.T, what string, text []byte) {
	t.Helper()
	for secret, form := range c.secretForms() {
		if bytes.Contains(text, form) {
			t.Errorf("%s has %s", what, secret)
		}
	}
}
