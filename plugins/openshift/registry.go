package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// registryHost returns the host, with its port, by which images name the
// cluster's own registry. It is empty if there is none. The cluster's
// configuration tells, or the image streams, or the registry's service; one that
// cannot be read counts only when no other tells.
func (a *actions) registryHost(ctx context.Context, t *velero.Task, namespace string) (string, error) {
	groups, err := a.apiGroups(ctx, t)
	if err != nil || !groups[api.ImageGroup] && !groups[api.ConfigGroup] {
		return "", err
	}
	var errs []error
	for _, look := range []struct {
		key string
		up  hostSource
	}{
		{t.Key(), first(a.configuredHost, a.imageStreamHost("openshift"))},
		{t.Key("namespace", namespace), a.imageStreamHost(namespace)},
		{t.Key("services"), logged(first(a.apiServerHost, a.serviceHost, a.oldServiceHost))},
	} {
		host, err := a.hosts.Get(ctx, look.key, look.up)
		if host != "" {
			return host, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

func (a *actions) apiGroups(ctx context.Context, t *velero.Task) (map[string]bool, error) {
	return a.groups.Get(ctx, t.Key(), a.cluster.Groups)
}

// hostSource is a place where the registry's host may be found; "" is not there.
type hostSource func(context.Context) (string, error)

// first returns the answer of the first source that has one.
func first(sources ...hostSource) hostSource {
	return func(ctx context.Context) (string, error) {
		var errs []error
		for _, source := range sources {
			host, err := source(ctx)
			if host != "" {
				return host, nil
			}
			errs = append(errs, err)
		}
		return "", errors.Join(errs...)
	}
}

// logged tells once, as its answer is kept, that no source has an answer.
func logged(source hostSource) hostSource {
	return func(ctx context.Context) (string, error) {
		host, err := source(ctx)
		if host == "" && err == nil {
			slog.Info("the cluster has no registry of its own")
		}
		return host, err
	}
}

func (a *actions) configuredHost(ctx context.Context) (string, error) {
	config, err := a.cluster.Get(ctx, api.ClusterImageConfigs, "", "cluster")
	if config == nil {
		return "", err
	}
	return fields.TextAt(config.Object, "status", "internalRegistryHostname"), nil
}

// imageStreamHost is the host that image streams of a namespace are given. Most
// have one, so a few tell.
func (a *actions) imageStreamHost(namespace string) hostSource {
	const few = 10
	return func(ctx context.Context) (host string, err error) {
		if namespace == "" {
			return "", nil
		}
		err = a.cluster.Each(ctx, api.ImageStreams, namespace, kube.Selection{Limit: few}, func(stream *unstructured.Unstructured) {
			if host == "" {
				host, _, _ = strings.Cut(fields.TextAt(stream.Object, "status", "dockerImageRepository"), "/")
			}
		})
		return host, err
	}
}

// apiServerHost is what the OpenShift API server is configured with. Clusters
// with hosted control planes do not show it.
func (a *actions) apiServerHost(ctx context.Context) (string, error) {
	found, err := a.cluster.Get(ctx, api.ConfigMaps, "openshift-apiserver", "config")
	if found == nil {
		return "", err
	}
	var config struct {
		ImagePolicyConfig struct{ InternalRegistryHostname string }
	}
	if err := yaml.Unmarshal([]byte(fields.TextAt(found.Object, "data", "config.yaml")), &config); err != nil {
		return "", nil // it is a guess among others
	}
	return config.ImagePolicyConfig.InternalRegistryHostname, nil
}

// serviceHost is the registry of OpenShift 4.
func (a *actions) serviceHost(ctx context.Context) (string, error) {
	service, err := a.cluster.Get(ctx, api.Services, "openshift-image-registry", "image-registry")
	if service == nil {
		return "", err
	}
	return withPort("image-registry.openshift-image-registry.svc", service), nil
}

// oldServiceHost is the registry of OpenShift 3.
func (a *actions) oldServiceHost(ctx context.Context) (string, error) {
	service, err := a.cluster.Get(ctx, api.Services, "default", "docker-registry")
	if service == nil {
		return "", err
	}
	return withPort(fields.TextAt(service.Object, "spec", "clusterIP"), service), nil
}

// withPort returns the host with the first port of a service, or "".
func withPort(host string, service *unstructured.Unstructured) string {
	for port := range fields.Each(fields.ListAt(service.Object, "spec", "ports")) {
		if number, ok := port["port"].(int64); ok {
			return net.JoinHostPort(host, strconv.FormatInt(number, 10))
		}
	}
	return ""
}
