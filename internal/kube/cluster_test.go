package kube_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.ControlPlane) }

var (
	configMaps   = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	accounts     = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	imageStreams = schema.GroupVersionResource{Group: "image.openshift.io", Version: "v1", Resource: "imagestreams"}
)

func connect(t *testing.T, change func(*rest.Config)) *kube.Cluster {
	config := rest.CopyConfig(servers.ControlPlane(t).Config)
	change(config)
	return kube.New(func() (*rest.Config, error) { return config, nil })
}

func TestCluster(t *testing.T) {
	c := connect(t, func(*rest.Config) {})
	ctx, namespace := t.Context(), servers.ControlPlane(t).NewNamespace(t)
	if v, err := c.Version(ctx); err != nil || !v.AtLeast(kube.Version{Major: 1, Minor: 30}) || v.AtLeast(kube.Version{Major: 2}) {
		t.Errorf("version %v, %v", v, err)
	}
	if groups, err := c.Groups(ctx); err != nil || !groups["apps"] || groups["image.openshift.io"] {
		t.Errorf("groups %v, %v", groups, err)
	}
	if object, err := c.Get(ctx, configMaps, namespace, "kube-root-ca.crt"); err != nil || object.GetName() != "kube-root-ca.crt" {
		t.Errorf("%v, %v", object, err)
	}
	for _, absent := range []struct {
		resource schema.GroupVersionResource
		name     string
	}{{configMaps, "absent"}, {configMaps, ""}, {imageStreams, "absent"}} {
		if object, err := c.Get(ctx, absent.resource, namespace, absent.name); object != nil || err != nil {
			t.Errorf("%v: %v, %v", absent, object, err)
		}
	}
	if err := c.Each(ctx, imageStreams, namespace, kube.Selection{}, func(*unstructured.Unstructured) { t.Error("visited") }); err != nil {
		t.Errorf("list of an absent kind: %v", err)
	}
	if err := c.Create(ctx, configMaps, namespace, configMap("made")); err != nil {
		t.Error(err)
	}
	if object, err := c.Get(ctx, configMaps, namespace, "made"); err != nil || object == nil {
		t.Errorf("what was created: %v, %v", object, err)
	}
	if names, err := c.Names(ctx, configMaps, namespace); err != nil || !names["made"] || !names["kube-root-ca.crt"] {
		t.Errorf("names %v, %v", names, err)
	}
	if names, err := c.Names(ctx, imageStreams, namespace); err != nil || len(names) != 0 {
		t.Errorf("names of an absent kind: %v, %v", names, err)
	}
	if err := c.Create(ctx, configMaps, namespace, configMap("made")); !apierrors.IsAlreadyExists(err) {
		t.Errorf("created twice: %v", err)
	}
	annotations := func(value string) map[string]any { return map[string]any{"annotations": map[string]any{"a": value}} }
	if err := c.Patch(ctx, accounts, namespace, "default", map[string]any{"metadata": annotations("b")}); err != nil {
		t.Error(err)
	}
	if object, err := c.Get(ctx, accounts, namespace, "default"); err != nil || object.GetAnnotations()["a"] != "b" {
		t.Errorf("after the patch: %v, %v", object, err)
	}
	old := annotations("c")
	old["resourceVersion"] = "1"
	if err := c.Patch(ctx, accounts, namespace, "default", map[string]any{"metadata": old}); !apierrors.IsConflict(err) {
		t.Errorf("patch of another version: %v", err)
	}
}

func configMap(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}}}
}

func TestForbidden(t *testing.T) {
	c := connect(t, func(c *rest.Config) { c.Impersonate.UserName = "nobody" })
	_, getErr := c.Get(t.Context(), configMaps, "default", "a")
	listErr := c.Each(t.Context(), configMaps, "default", kube.Selection{}, func(*unstructured.Unstructured) {})
	patchErr := c.Patch(t.Context(), configMaps, "default", "a", map[string]any{})
	createErr := c.Create(t.Context(), configMaps, "default", configMap("a"))
	for verb, err := range map[string]error{"get": getErr, "list": listErr, "patch": patchErr, "create": createErr} {
		if !errors.Is(err, kube.CodeForbidden) || !strings.Contains(err.Error(), "nobody") || !strings.Contains(err.Error(), "cannot "+verb) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

// A long list comes in pages, of which no two are kept.
func TestPages(t *testing.T) {
	requests := 0
	c := connect(t, func(c *rest.Config) {
		c.Transport, c.TLSClientConfig = roundTripper(func(r *http.Request) (*http.Response, error) {
			requests++
			limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
			if err != nil || limit > 1000 {
				t.Errorf("limit %d, %v", limit, err)
			}
			next := ""
			if requests < 3 {
				next = fmt.Sprintf("page-%d", requests)
			}
			if r.URL.Query().Get("continue") != "" && r.URL.Query().Get("continue") != fmt.Sprintf("page-%d", requests-1) {
				t.Errorf("request %d continues %s", requests, r.URL.RawQuery)
			}
			body := fmt.Sprintf(`{"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"continue": %q}, "items": [{"metadata": {"name": "a"}}, {}]}`, next)
			return &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"application/json"}},
				Body: readCloser{strings.NewReader(body)}}, nil
		}), rest.TLSClientConfig{}
	})
	visited := 0
	if err := c.Each(t.Context(), configMaps, "x", kube.Selection{}, func(*unstructured.Unstructured) { visited++ }); err != nil || visited != 6 || requests != 3 {
		t.Errorf("%d objects in %d requests, %v", visited, requests, err)
	}
	requests = 0
	if err := c.Each(t.Context(), configMaps, "x", kube.Selection{Limit: 2}, func(*unstructured.Unstructured) {}); err != nil || requests != 1 {
		t.Errorf("with a limit: %d requests, %v", requests, err)
	}
}

// Objects that are large are read a few at a time, and names without the objects.
func TestPagesOfLargeObjects(t *testing.T) {
	var asked []string
	cluster := kube.New(func() (*rest.Config, error) {
		return &rest.Config{Host: "http://cluster", Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.Path+"?"+r.URL.RawQuery+" "+strings.SplitN(r.Header.Get("Accept"), ",", 2)[0])
			next := ""
			if r.URL.Query().Get("continue") == "" {
				next = "more"
			}
			body := fmt.Sprintf(`{"apiVersion": "image.openshift.io/v1", "kind": "ImageStreamList", "metadata": {"continue": %q}, "items": [{"metadata": {"name": "a%s"}}]}`, next, next)
			return &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"application/json"}}, Body: readCloser{strings.NewReader(body)}}, nil
		})}, nil
	})
	if err := cluster.Each(t.Context(), imageStreams, "shop", kube.Selection{Page: 10}, func(*unstructured.Unstructured) {}); err != nil {
		t.Fatal(err)
	}
	names, err := cluster.Names(t.Context(), imageStreams, "shop")
	if err != nil || len(names) != 2 || !names["a"] || !names["amore"] {
		t.Errorf("names %v, %v", names, err)
	}
	const path = "/apis/image.openshift.io/v1/namespaces/shop/imagestreams?"
	const partial = " application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	if want := []string{path + "limit=10 application/json", path + "continue=more&limit=10 application/json",
		path + "limit=500" + partial, path + "continue=more&limit=500" + partial}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if _, err := cluster.Names(t.Context(), configMaps, "shop"); err != nil || !strings.HasPrefix(asked[4], "/api/v1/namespaces/shop/configmaps?") {
		t.Errorf("names of the core group: %v, %q", err, asked[4:])
	}
}

func TestVersions(t *testing.T) {
	for answer, want := range map[string]string{
		`{"major": "1", "minor": "31"}`:                          "1.31",
		`{"major": "1", "minor": "11+"}`:                         "1.11",
		`{"gitVersion": "v1.27.3+abc"}`:                          "1.27",
		`{"major": "1", "minor": "", "gitVersion": "v1.28.0-a"}`: "1.28",
		`{}`: "", `{"major": "x", "minor": "1"}`: "", `{"gitVersion": "v1"}`: "", `[`: "",
	} {
		c := connect(t, func(c *rest.Config) {
			c.Transport, c.TLSClientConfig = roundTripper(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Request: r, Body: readCloser{strings.NewReader(answer)}}, nil
			}), rest.TLSClientConfig{}
		})
		v, err := c.Version(t.Context())
		if want == "" && !errors.Is(err, kube.CodeFailed) || want != "" && (err != nil || v.String() != want) {
			t.Errorf("%s: %v, %v", answer, v, err)
		}
	}
}

// A request that only reads is made again while the API server fails; a refusal
// is an answer at once.
func TestFailuresThatPass(t *testing.T) { synctest.Test(t, testFailuresThatPass) }

func testFailuresThatPass(t *testing.T) {
	answer := func(r *http.Request, status int, body string) *http.Response {
		return &http.Response{StatusCode: status, Request: r, Header: http.Header{"Content-Type": {"application/json"}}, Body: readCloser{strings.NewReader(body)}}
	}
	for _, c := range []struct {
		what     string
		first    func(*http.Request) (*http.Response, error)
		requests int
		fails    bool
	}{
		{"500", func(r *http.Request) (*http.Response, error) { return answer(r, 500, "{}"), nil }, 2, false},
		{"503", func(r *http.Request) (*http.Response, error) { return answer(r, 503, "no endpoints"), nil }, 2, false},
		{"429", func(r *http.Request) (*http.Response, error) { return answer(r, 429, "{}"), nil }, 2, false},
		{"connection", func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }, 2, false},
		{"403", func(r *http.Request) (*http.Response, error) { return answer(r, 403, "{}"), nil }, 1, true},
	} {
		for what, read := range map[string]func(*kube.Cluster) error{
			"version": func(k *kube.Cluster) error { _, err := k.Version(t.Context()); return err },
			"get":     func(k *kube.Cluster) error { _, err := k.Get(t.Context(), configMaps, "x", "a"); return err },
			"list": func(k *kube.Cluster) error {
				return k.Each(t.Context(), configMaps, "x", kube.Selection{}, func(*unstructured.Unstructured) {})
			},
		} {
			requests := 0
			cluster := kube.New(func() (*rest.Config, error) {
				return &rest.Config{Host: "http://cluster", Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					if requests++; requests == 1 {
						return c.first(r)
					}
					return answer(r, http.StatusOK, `{"major": "1", "minor": "31", "kind": "List", "apiVersion": "v1", "metadata": {"name": "a"}, "items": []}`), nil
				})}, nil
			})
			if err := read(cluster); (err != nil) != c.fails || requests != c.requests {
				t.Errorf("%s, %s: %v after %d requests", c.what, what, err, requests)
			}
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
