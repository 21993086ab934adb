package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// serviceAccountDir is where a pod finds the credentials of its service account.
const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// secretTime bounds the request for a secret.
const secretTime = 30 * time.Second

// secretKey names a key of a Kubernetes secret in Velero's namespace.
type secretKey struct{ name, key string }

func parseSecretKey(s string) (secretKey, error) {
	name, key, ok := strings.Cut(s, "/")
	if !ok || name == "" || key == "" || strings.Contains(key, "/") {
		return secretKey{}, errors.New("expected the name of a secret and of a key in it, parted by one slash")
	}
	if os.Getenv("VELERO_NAMESPACE") == "" {
		return secretKey{}, errors.New("the environment variable VELERO_NAMESPACE, which names the secret's namespace, is not set")
	}
	return secretKey{name, key}, nil
}

// readSecretKey asks the cluster with one plain request, which saves this plugin
// the weight of a Kubernetes client.
func readSecretKey(ctx context.Context, ref secretKey) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, secretTime)
	defer cancel()
	c, err := findCluster()
	if err != nil {
		return nil, err
	}
	path := "/api/v1/namespaces/" + url.PathEscape(os.Getenv("VELERO_NAMESPACE")) + "/secrets/" + url.PathEscape(ref.name)
	var secret struct {
		Data map[string][]byte `json:"data"`
	}
	if err := c.get(ctx, path, &secret); err != nil {
		return nil, err
	}
	value, ok := secret.Data[ref.key]
	if !ok {
		return nil, fmt.Errorf("secret %s/%s has no key %s", os.Getenv("VELERO_NAMESPACE"), ref.name, ref.key)
	}
	return value, nil
}

// cluster is the way to a Kubernetes API.
type cluster struct {
	server string
	token  string
	tls    tls.Config
}

// findCluster looks where Velero looks: KUBECONFIG, else the service account of
// the pod.
func findCluster() (*cluster, error) {
	if path := os.Getenv("KUBECONFIG"); path != "" {
		c, err := clusterOfKubeconfig(path)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
		}
		return c, nil
	}
	return clusterOfPod(serviceAccountDir)
}

func clusterOfPod(dir string) (*cluster, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("neither KUBECONFIG nor KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are set: not in a cluster")
	}
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	c := &cluster{server: "https://" + net.JoinHostPort(host, port), token: strings.TrimSpace(string(token))}
	return c, c.trust(ca)
}

func (c *cluster) trust(ca []byte) error {
	c.tls.RootCAs = x509.NewCertPool()
	if !c.tls.RootCAs.AppendCertsFromPEM(ca) {
		return errors.New("the certificate authority of the cluster holds no certificate")
	}
	return nil
}

func (c *cluster) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &c.tls}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4*mib))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var status struct{ Message string }
		_ = json.Unmarshal(body, &status) // the status line says enough without it
		return fmt.Errorf("the cluster answered %s: %s", resp.Status, status.Message)
	}
	return json.Unmarshal(body, into)
}

// kubeconfig is the part of a client configuration that is needed for one
// request. Exec plugins and identity providers are left out: Velero runs with
// tokens or certificates.
type kubeconfig struct {
	CurrentContext string `json:"current-context"`
	Contexts       []struct {
		Name    string
		Context struct{ Cluster, User string }
	}
	Clusters []struct {
		Name    string
		Cluster struct {
			Server   string
			CAData   []byte `json:"certificate-authority-data"`
			CAFile   string `json:"certificate-authority"`
			Insecure bool   `json:"insecure-skip-tls-verify"`
		}
	}
	Users []struct {
		Name string
		User struct {
			Token     string
			TokenFile string `json:"tokenFile"`
			CertData  []byte `json:"client-certificate-data"`
			CertFile  string `json:"client-certificate"`
			KeyData   []byte `json:"client-key-data"`
			KeyFile   string `json:"client-key"`
		}
	}
}

func clusterOfKubeconfig(path string) (*cluster, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var k kubeconfig
	if err := yaml.Unmarshal(data, &k); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	for _, entry := range k.Contexts {
		if entry.Name == k.CurrentContext {
			c := &cluster{}
			return c, errors.Join(c.setCluster(k, entry.Context.Cluster, dir), c.setUser(k, entry.Context.User, dir))
		}
	}
	return nil, fmt.Errorf("current-context %q is not among its contexts", k.CurrentContext)
}

func (c *cluster) setCluster(k kubeconfig, name, dir string) error {
	for _, entry := range k.Clusters {
		if entry.Name != name {
			continue
		}
		c.server = strings.TrimRight(entry.Cluster.Server, "/")
		c.tls.InsecureSkipVerify = entry.Cluster.Insecure
		ca, err := dataOrFile(entry.Cluster.CAData, entry.Cluster.CAFile, dir)
		if err != nil || ca == nil {
			return err
		}
		return c.trust(ca)
	}
	return fmt.Errorf("cluster %q is not among its clusters", name)
}

func (c *cluster) setUser(k kubeconfig, name, dir string) error {
	for _, entry := range k.Users {
		if entry.Name != name {
			continue
		}
		u := entry.User
		token, tokenErr := dataOrFile([]byte(u.Token), u.TokenFile, dir)
		cert, certErr := dataOrFile(u.CertData, u.CertFile, dir)
		key, keyErr := dataOrFile(u.KeyData, u.KeyFile, dir)
		if err := errors.Join(tokenErr, certErr, keyErr); err != nil {
			return err
		}
		c.token = strings.TrimSpace(string(token))
		if cert == nil {
			return nil
		}
		pair, err := tls.X509KeyPair(cert, key)
		c.tls.Certificates = []tls.Certificate{pair}
		return err
	}
	return fmt.Errorf("user %q is not among its users", name)
}

// dataOrFile returns data, else the content of a file relative to dir, else nil.
func dataOrFile(data []byte, file, dir string) ([]byte, error) {
	if len(data) > 0 || file == "" {
		return data, nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	return os.ReadFile(file)
}
