package stack

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// controllers are those that tests need: namespaces go away, service accounts
// get tokens, workloads make pods, volume claims bind, and a node that is ready
// gets pods. All of the controllers would take ten times as long to start.
const controllers = "namespace-controller,serviceaccount-controller,serviceaccount-token-controller," +
	"garbage-collector-controller,root-ca-certificate-publisher-controller,deployment-controller," +
	"replicaset-controller,job-controller,cronjob-controller,daemonset-controller,statefulset-controller," +
	"endpointslice-controller,persistentvolume-binder-controller,persistentvolumeclaim-protection-controller," +
	"persistentvolume-protection-controller,clusterrole-aggregation-controller,disruption-controller," +
	"resourcequota-controller,node-lifecycle-controller"

// ControlPlane is a cluster without nodes: etcd, kube-apiserver and
// kube-controller-manager. Node adds a node.
type ControlPlane struct {
	// Kubeconfig is the path of a kubeconfig with all rights.
	Kubeconfig string
	// Config is the same for Go clients, without client-side rate limits.
	Config *rest.Config
	// Kubernetes and Dynamic are clients made from Config.
	Kubernetes kubernetes.Interface
	Dynamic    dynamic.Interface

	dir, address       string // of its files, and of the API server
	creds              controlPlaneCredentials
	apiserver, manager *server
}

// ControlPlane returns the control plane that the tests of a package share.
// The first call starts it.
func (s *Stack) ControlPlane(t testing.TB) *ControlPlane {
	t.Helper()
	c := s.controlPlane.get(t, s.StartControlPlane)
	c.apiserver.attach(t)
	c.manager.attach(t)
	return c
}

// StartControlPlane starts the servers and waits until new namespaces get
// their service account. Each call starts another cluster.
func (s *Stack) StartControlPlane(ctx context.Context) (*ControlPlane, error) {
	dir, err := s.controlPlaneFolder()
	if err != nil {
		return nil, err
	}
	address, err := s.clientAddress()
	if err != nil {
		return nil, err
	}
	creds, err := writeControlPlaneCredentials(dir)
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{Kubeconfig: filepath.Join(dir, "admin.kubeconfig"), dir: dir, address: address, creds: creds}
	if err := c.connect(); err != nil {
		return nil, err
	}
	etcd, err := s.startEtcd(dir)
	if err != nil {
		return nil, err
	}
	if c.apiserver, err = s.startAPIServer(dir, etcd, address); err != nil {
		return nil, err
	}
	// Until its roles are in place the API server refuses the controller
	// manager, which then ends.
	if err := c.apiserver.await(ctx, c.apiReady); err != nil {
		return nil, err
	}
	if c.manager, err = s.startControllerManager(dir, address, creds); err != nil {
		return nil, err
	}
	return c, c.manager.await(ctx, func(ctx context.Context) error { return c.namespaceReady(ctx, metav1.NamespaceDefault) })
}

// controlPlaneFolder makes the folder of one more control plane.
func (s *Stack) controlPlaneFolder() (string, error) {
	s.mu.Lock()
	s.planes++
	n := s.planes
	s.mu.Unlock()
	if n == 1 {
		return s.folder("control-plane")
	}
	return s.folder(fmt.Sprintf("control-plane-%d", n))
}

func (c *ControlPlane) connect() error {
	if err := c.creds.writeKubeconfig(c.Kubeconfig, c.address, c.creds.adminToken); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	c.Config = config
	if c.Kubernetes, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	c.Dynamic, err = dynamic.NewForConfig(config)
	return err
}

func (c *ControlPlane) apiReady(ctx context.Context) error {
	return c.Kubernetes.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// RestartAPIServer kills the API server and starts it again with the same data.
// Requests fail meanwhile, and watches end. No other method may be called until it
// returns.
func (c *ControlPlane) RestartAPIServer(ctx context.Context) (err error) {
	c.apiserver.kill()
	if c.apiserver, err = c.apiserver.again(); err != nil {
		return err
	}
	return c.apiserver.await(ctx, c.apiReady)
}

// namespaceReady is a check that the controllers have filled a new namespace.
func (c *ControlPlane) namespaceReady(ctx context.Context, namespace string) error {
	_, accountErr := c.Kubernetes.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
	_, rootErr := c.Kubernetes.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	return errors.Join(accountErr, rootErr)
}

// CreateNamespace makes a namespace and waits until it has its service account
// and root certificate.
func (c *ControlPlane) CreateNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := c.Kubernetes.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return err
	}
	return c.manager.await(ctx, func(ctx context.Context) error { return c.namespaceReady(ctx, name) })
}

// DeleteNamespace deletes a namespace and waits until it is gone, which takes
// five seconds, or ten with pods inside.
func (c *ControlPlane) DeleteNamespace(ctx context.Context, name string) error {
	namespaces := c.Kubernetes.CoreV1().Namespaces()
	if err := namespaces.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return c.manager.await(ctx, func(ctx context.Context) error {
		_, err := namespaces.Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		}
		return fmt.Errorf("namespace %s is being deleted", name)
	})
}

// NewNamespace makes a namespace for a test. It is deleted after the test,
// without waiting for it.
func (c *ControlPlane) NewNamespace(t testing.TB) string {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:12])
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := c.CreateNamespace(ctx, name); err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	t.Cleanup(func() {
		err := c.Kubernetes.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("delete namespace %s: %v", name, err)
		}
	})
	return name
}

// startEtcd returns the client URL of etcd. The API server waits for it.
func (s *Stack) startEtcd(dir string) (string, error) {
	client, err := s.address()
	if err != nil {
		return "", err
	}
	peer, err := s.address()
	if err != nil {
		return "", err
	}
	clientURL, peerURL := "http://"+client, "http://"+peer
	_, err = s.start("etcd", tools.Etcd, nil,
		"--name=stack", "--data-dir="+filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+clientURL, "--advertise-client-urls="+clientURL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL, "--initial-cluster=stack="+peerURL)
	return clientURL, err
}

func (s *Stack) startAPIServer(dir, etcd, address string) (*server, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	issuer := "https://" + address
	return s.start("kube-apiserver", tools.KubeAPIServer, nil,
		"--etcd-servers="+etcd, "--bind-address="+host, "--secure-port="+port, "--advertise-address="+host,
		// There is no endpoint to publish for pods that never run.
		"--endpoint-reconciler-type=none",
		"--cert-dir="+file("apiserver"), "--tls-cert-file="+file("server.crt"), "--tls-private-key-file="+file("server.key"),
		"--client-ca-file="+file("ca.crt"), "--token-auth-file="+file("tokens.csv"), "--authorization-mode=Node,RBAC",
		"--service-account-issuer="+issuer, "--service-account-jwks-uri="+issuer+"/openid/v1/jwks",
		"--api-audiences="+issuer+",https://kubernetes.default.svc",
		"--kubelet-client-certificate="+file("server.crt"), "--kubelet-client-key="+file("server.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-key-file="+file("accounts.pub"), "--service-account-signing-key-file="+file("accounts.key"),
		"--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true", "--profiling=false")
}

func (s *Stack) startControllerManager(dir, address string, creds controlPlaneCredentials) (*server, error) {
	port, err := s.address()
	if err != nil {
		return nil, err
	}
	host, number, err := net.SplitHostPort(port)
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "controller-manager.kubeconfig")
	if err := creds.writeKubeconfig(kubeconfig, address, creds.managerToken); err != nil {
		return nil, err
	}
	return s.start("kube-controller-manager", tools.KubeControllerManager, nil,
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--bind-address="+host, "--secure-port="+number, "--leader-elect=false", "--use-service-account-credentials=true",
		"--service-account-private-key-file="+filepath.Join(dir, "accounts.key"), "--root-ca-file="+filepath.Join(dir, "ca.crt"),
		"--cert-dir="+filepath.Join(dir, "controller-manager"), "--profiling=false", "--controllers="+controllers)
}

// controlPlaneCredentials is what clients of the API server present and trust.
type controlPlaneCredentials struct {
	ca                                                  []byte
	adminToken, managerToken, schedulerToken, nodeToken string
}

// writeControlPlaneCredentials makes the certificates, the key pair of service
// account tokens and the token file in dir.
func writeControlPlaneCredentials(dir string) (controlPlaneCredentials, error) {
	creds := controlPlaneCredentials{
		adminToken: rand.Text(), managerToken: rand.Text(), schedulerToken: rand.Text(), nodeToken: rand.Text(),
	}
	ca, err := NewAuthority("Kubernetes of the test stack")
	if err != nil {
		return creds, err
	}
	creds.ca = ca.PEM
	cert, key, err := ca.Issue("kube-apiserver", net.ParseIP(serviceAddress))
	if err != nil {
		return creds, err
	}
	accountsCert, accountsKey, err := ca.Issue("service-accounts")
	if err != nil {
		return creds, err
	}
	accountsPublic, err := publicKey(accountsCert)
	if err != nil {
		return creds, err
	}
	return creds, writeFiles(dir, map[string][]byte{
		"ca.crt": ca.PEM, "server.crt": cert, "server.key": key,
		"accounts.pub": accountsPublic, "accounts.key": accountsKey,
		"tokens.csv": creds.tokens(),
	})
}

// tokens is the API server's token file: token, user, user id and group.
func (c controlPlaneCredentials) tokens() []byte {
	var lines []byte
	lines = fmt.Appendf(lines, "%s,admin,admin,system:masters\n", c.adminToken)
	lines = fmt.Appendf(lines, "%s,system:kube-controller-manager,kcm\n", c.managerToken)
	lines = fmt.Appendf(lines, "%s,system:kube-scheduler,scheduler\n", c.schedulerToken)
	return fmt.Appendf(lines, "%s,system:node:%s,node,system:nodes\n", c.nodeToken, NodeName)
}

func publicKey(certPEM []byte) ([]byte, error) {
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func (c controlPlaneCredentials) writeKubeconfig(path, address, token string) error {
	const name = "stack"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + address, CertificateAuthorityData: c.ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, path)
}
