package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// registryHost returns the host, with its port, by which images name the
// cluster's own registry. It is empty if there is none. The cluster's
// configuration tells, or the image streams, or the registry's service.
func (a *actions) registryHost(ctx context.Context, t *task, namespace string) (string, error) {
	groups, err := a.apiGroups(ctx, t)
	if err != nil || !groups[imageGroup] && !groups[configGroup] {
		return "", err
	}
	host, err := a.hosts.Get(ctx, t.key(), a.first(a.configuredHost, a.imageStreamHost("openshift")))
	if err != nil || host != "" {
		return host, err
	}
	if namespace != "" {
		host, err = a.hosts.Get(ctx, t.key("namespace", namespace), a.imageStreamHost(namespace))
		if err != nil || host != "" {
			return host, err
		}
	}
	return a.hosts.Get(ctx, t.key("services"), a.orNone(a.first(a.apiServerHost, a.serviceHost, a.oldServiceHost)))
}

func (a *actions) apiGroups(ctx context.Context, t *task) (map[string]bool, error) {
	return a.groups.Get(ctx, t.key(), a.cluster.Groups)
}

// hostSource is a place where the registry's host may be found; "" is not there.
type hostSource func(context.Context) (string, error)

// first returns the answer of the first source that has one. A source that
// fails counts only when no other has an answer.
func (a *actions) first(sources ...hostSource) hostSource {
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

func (a *actions) orNone(source hostSource) hostSource {
	return func(ctx context.Context) (string, error) {
		host, err := source(ctx)
		if host == "" && err == nil {
			slog.Info("the cluster has no registry of its own")
		}
		return host, err
	}
}

func (a *actions) configuredHost(ctx context.Context) (string, error) {
	config, err := a.cluster.Get(ctx, clusterImageConfigs, "", "cluster")
	if config == nil {
		return "", err
	}
	return textAt(config.Object, "status", "internalRegistryHostname"), nil
}

// imageStreamHost is the host that image streams of a namespace are given. Most
// have one, so a few tell.
func (a *actions) imageStreamHost(namespace string) hostSource {
	const few = 10
	return func(ctx context.Context) (host string, err error) {
		err = a.cluster.Each(ctx, imageStreams, namespace, kube.Selection{Limit: few}, func(stream *unstructured.Unstructured) {
			if host == "" {
				host, _, _ = strings.Cut(textAt(stream.Object, "status", "dockerImageRepository"), "/")
			}
		})
		return host, err
	}
}

// apiServerHost is what the OpenShift API server is configured with. Clusters
// with hosted control planes do not show it.
func (a *actions) apiServerHost(ctx context.Context) (string, error) {
	found, err := a.cluster.Get(ctx, configMaps, "openshift-apiserver", "config")
	if found == nil {
		return "", err
	}
	var config struct {
		ImagePolicyConfig struct{ InternalRegistryHostname string }
	}
	if err := yaml.Unmarshal([]byte(textAt(found.Object, "data", "config.yaml")), &config); err != nil {
		return "", nil // it is a guess among others
	}
	return config.ImagePolicyConfig.InternalRegistryHostname, nil
}

func (a *actions) serviceHost(ctx context.Context) (string, error) {
	return a.addressOf(ctx, services, "openshift-image-registry", "image-registry", func(*unstructured.Unstructured) string {
		return "image-registry.openshift-image-registry.svc"
	})
}

// oldServiceHost is the registry of OpenShift 3.
func (a *actions) oldServiceHost(ctx context.Context) (string, error) {
	return a.addressOf(ctx, services, "default", "docker-registry", func(service *unstructured.Unstructured) string {
		return textAt(service.Object, "spec", "clusterIP")
	})
}

// addressOf returns the host of a service with its first port.
func (a *actions) addressOf(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, host func(*unstructured.Unstructured) string) (string, error) {
	service, err := a.cluster.Get(ctx, resource, namespace, name)
	if service == nil {
		return "", err
	}
	for port := range each(listAt(service.Object, "spec", "ports")) {
		if number, ok := port["port"].(int64); ok {
			return net.JoinHostPort(host(service), strconv.FormatInt(number, 10)), nil
		}
	}
	return "", nil
}
