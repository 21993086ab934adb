package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// counter is a way to an API server that counts the requests.
type counter struct {
	kubeconfig string // path
	requests   atomic.Int64
	server     *httptest.Server
}

// countRequests opens a way to a cluster. Its kubeconfig is written to a folder.
func countRequests(cluster *stack.ControlPlane, dir string) (*counter, error) {
	target, err := url.Parse(cluster.Config.Host)
	if err != nil {
		return nil, err
	}
	// The credential is the client's.
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(cluster.Config))
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.LoadFromFile(cluster.Kubeconfig)
	if err != nil {
		return nil, err
	}
	c := &counter{kubeconfig: filepath.Join(dir, "counted.kubeconfig")}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	c.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.server.Certificate().Raw})
	for _, at := range config.Clusters {
		at.Server, at.CertificateAuthority, at.CertificateAuthorityData = c.server.URL, "", certificate
	}
	return c, clientcmd.WriteToFile(*config, c.kubeconfig)
}

func (c *counter) close() { c.server.Close() }

// bucketRequests is how many S3 requests MinIO has served since it was started.
func (s *site) bucketRequests(ctx context.Context) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.store.Endpoint+"/minio/metrics/v3/api/requests", nil)
	if err != nil {
		return 0, err
	}
	token, err := metricsToken(s.store)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("metrics of MinIO: %s", response.Status)
	}
	var sum int64
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		metric, value, _ := strings.Cut(lines.Text(), "} ")
		if strings.HasPrefix(metric, "minio_api_requests_total{") {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, err
			}
			sum += int64(n)
		}
	}
	return sum, nil
}

// metricsToken is a JSON web token of MinIO's administrator.
func metricsToken(store *stack.MinIO) (string, error) {
	header, err := json.Marshal(map[string]any{"alg": "HS512", "typ": "JWT"})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": "prometheus", "sub": store.AccessKey, "exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sign := hmac.New(sha512.New, []byte(store.SecretKey))
	sign.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign.Sum(nil)), nil
}
