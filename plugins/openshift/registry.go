package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// clusterRegistry is what is known of the cluster's own registry of images. Each look-up
// is made once for a backup or restore.
type clusterRegistry struct {
	cluster *kube.Cluster

	groups kube.Memo[map[string]bool]
	hosts  kube.Memo[string]
	states kube.Memo[registryState]
}

// host returns the host, with its port, by which images name the
// cluster's own registry. It is empty if there is none. The cluster's
// configuration tells, or the image streams, or the registry's service; one that
// cannot be read counts only when no other tells.
func (c *clusterRegistry) host(ctx context.Context, t *velero.Task, namespace string) (string, error) {
	groups, err := c.apiGroups(ctx, t)
	if err != nil || !groups[api.ImageGroup] && !groups[api.ConfigGroup] {
		return "", err
	}
	var errs []error
	for _, look := range []struct {
		key string
		up  hostSource
	}{
		{t.Key(), first(c.configuredHost, c.imageStreamHost("openshift"))},
		{t.Key("namespace", namespace), c.imageStreamHost(namespace)},
		{t.Key("services"), logged(first(c.apiServerHost, c.serviceHost, c.oldServiceHost))},
	} {
		host, err := c.hosts.Get(ctx, look.key, look.up)
		if host != "" {
			return host, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// apiGroups returns the API groups that the cluster serves.
func (c *clusterRegistry) apiGroups(ctx context.Context, t *velero.Task) (map[string]bool, error) {
	return c.groups.Get(ctx, t.Key(), c.cluster.Groups)
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

func (c *clusterRegistry) configuredHost(ctx context.Context) (string, error) {
	config, err := c.cluster.Get(ctx, api.ClusterImageConfigs, "", "cluster")
	if config == nil {
		return "", err
	}
	return fields.TextAt(config.Object, "status", "internalRegistryHostname"), nil
}

// imageStreamHost is the host that image streams of a namespace are given. Most
// have one, so a few tell.
func (c *clusterRegistry) imageStreamHost(namespace string) hostSource {
	const few = 10
	return func(ctx context.Context) (host string, err error) {
		if namespace == "" {
			return "", nil
		}
		err = c.cluster.Each(ctx, api.ImageStreams, namespace, kube.Selection{Limit: few}, func(stream *unstructured.Unstructured) {
			if host == "" {
				host, _, _ = strings.Cut(fields.TextAt(stream.Object, "status", "dockerImageRepository"), "/")
			}
		})
		return host, err
	}
}

// apiServerHost is what the OpenShift API server is configured with. Clusters
// with hosted control planes do not show it.
func (c *clusterRegistry) apiServerHost(ctx context.Context) (string, error) {
	found, err := c.cluster.Get(ctx, api.ConfigMaps, "openshift-apiserver", "config")
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
func (c *clusterRegistry) serviceHost(ctx context.Context) (string, error) {
	service, err := c.cluster.Get(ctx, api.Services, "openshift-image-registry", "image-registry")
	if service == nil {
		return "", err
	}
	return withPort("image-registry.openshift-image-registry.svc", service), nil
}

// oldServiceHost is the registry of OpenShift 3.
func (c *clusterRegistry) oldServiceHost(ctx context.Context) (string, error) {
	service, err := c.cluster.Get(ctx, api.Services, "default", "docker-registry")
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

// registryState is what a cluster tells of its registry.
type registryState string

const (
	registryOn      registryState = "on"      // OpenShift makes pull secrets for it
	registryOff     registryState = "off"     // and so it makes none
	registryUnknown registryState = "unknown" // no OpenShift, or one without a cluster version
)

// state tells whether to expect pull secrets. Before 4.15 OpenShift made
// them with the registry turned off as well.
func (c *clusterRegistry) state(ctx context.Context, r *velero.Restore) (registryState, error) {
	return c.states.Get(ctx, r.Key(), func(ctx context.Context) (registryState, error) {
		groups, err := c.apiGroups(ctx, &r.Task)
		if err != nil || !groups[api.ConfigGroup] {
			return registryUnknown, err
		}
		version, err := c.cluster.Get(ctx, api.ClusterVersions, "", "version")
		if version == nil {
			return registryUnknown, err
		}
		if !since415(fields.TextAt(version.Object, "status", "desired", "version")) {
			return registryOn, nil
		}
		if lacksRegistry(version) {
			return registryOff, nil
		}
		config, err := c.cluster.Get(ctx, api.RegistryConfigs, "", "cluster")
		if err != nil {
			return "", err
		}
		if config == nil || fields.TextAt(config.Object, "spec", "managementState") == "Removed" {
			return registryOff, nil
		}
		return registryOn, nil
	})
}

// lacksRegistry reports whether the cluster was installed without the registry.
func lacksRegistry(version *unstructured.Unstructured) bool {
	has := func(capabilities string) bool {
		return slices.Contains(slices.Collect(fields.Texts(fields.ListAt(version.Object, "status", "capabilities", capabilities))), "ImageRegistry")
	}
	return has("knownCapabilities") && !has("enabledCapabilities")
}

// since415 reports whether a release of OpenShift is 4.15 or later, as is one
// that cannot be read.
func since415(release string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		return true
	}
	return cmp.Or(cmp.Compare(major, 4), cmp.Compare(minor, 15)) >= 0
}
