package incluster

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// serviceAccountDir is where the kubelet puts the token of a pod.
const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount/"

// The customer key comes from a secret that the API server hands out to the
// service account of the pod, or to whom a kubeconfig names.
func testCustomerKeySecret(t *testing.T, cluster *stack.ControlPlane, store *stack.MinIO) {
	bucket := store.NewBucket(t)
	namespace := cluster.NewNamespace(t)
	addServiceAccount(t, cluster, namespace, "keys", "absent")
	key := bytes.Repeat([]byte("k"), 32)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"}, Data: map[string][]byte{"good": key, "short": key[:31]}}
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "others"}, Data: map[string][]byte{"good": key}}
	for _, s := range []*corev1.Secret{secret, other} {
		if _, err := cluster.Kubernetes.CoreV1().Secrets(namespace).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("VELERO_NAMESPACE", namespace)
	config := location(store, bucket)
	t.Setenv("AWS_ACCESS_KEY_ID", store.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", store.SecretKey)

	for name, prepare := range map[string]func(*testing.T){
		"service account": func(t *testing.T) { becomePod(t, cluster, token(t, cluster, namespace)) },
		"kubeconfig":      func(t *testing.T) { t.Setenv("KUBECONFIG", kubeconfig(t, cluster, token(t, cluster, namespace))) },
	} {
		t.Run(name, func(t *testing.T) {
			prepare(t)
			config["customerKeyEncryptionSecret"] = "keys/good"
			s, err := newStore(t, config)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, s, bucket, name)
			checkEncrypted(t, store, bucket, name, key)
			for ref, want := range map[string]string{
				"keys/short": "31 bytes", "keys/none": "has no key none", "absent/good": `secrets "absent" missing`, "others/good": "forbidden",
			} {
				config["customerKeyEncryptionSecret"] = ref
				if _, err := newStore(t, config); !errors.Is(err, s3.CodeCustomerKey) || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v", ref, err)
				}
			}
		})
	}
}

// becomePod puts a token where a pod finds it, in the file system of the test's
// mount namespace.
func becomePod(t *testing.T, cluster *stack.ControlPlane, token string) {
	t.Helper()
	if servers.Isolation() == "loopback" {
		t.Skip("without namespaces the token would be written to the machine's own /run: the service account is not tried")
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatalf("mount a folder over /run: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount("/run", 0); err != nil {
			t.Errorf("unmount /run: %v", err)
		}
	})
	write(t, serviceAccountDir+"token", []byte(token))
	write(t, serviceAccountDir+"ca.crt", cluster.Config.CAData)
	server, err := url.Parse(cluster.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", server.Hostname())
	t.Setenv("KUBERNETES_SERVICE_PORT", server.Port())
	os.Unsetenv("KUBECONFIG")
}

// kubeconfig writes one with a token in a file of its own.
func kubeconfig(t *testing.T, cluster *stack.ControlPlane, token string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/token", []byte(token))
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: cluster.Config.Host, CertificateAuthorityData: cluster.Config.CAData}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{TokenFile: dir + "/token"}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	c.CurrentContext = "x"
	path := dir + "/kubeconfig"
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkEncrypted checks that an object can be read with the key and not without.
func checkEncrypted(t *testing.T, store *stack.MinIO, bucket, name string, key []byte) {
	t.Helper()
	client, err := store.Client(store.TLSEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	with, err := encrypt.NewSSEC(key)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := client.StatObject(ctx, bucket, name, minio.StatObjectOptions{ServerSideEncryption: with}); err != nil {
		t.Errorf("with the key: %v", err)
	}
	if _, err := client.StatObject(ctx, bucket, name, minio.StatObjectOptions{}); err == nil {
		t.Error("the object can be read without the key")
	}
}
