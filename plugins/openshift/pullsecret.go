package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// OpenShift makes secrets with generated names for the service accounts of each
// namespace. References to them are turned to those of the namespace that they
// are restored to.

// generatedPrefix returns the prefix of the name of a generated pull secret, or
// "" for other names.
func generatedPrefix(name string) string {
	for _, prefix := range []string{"builder-dockercfg-", "default-dockercfg-", "deployer-dockercfg-"} {
		if strings.HasPrefix(name, prefix) {
			return prefix
		}
	}
	return ""
}

// targetPullSecret returns the name of a pull secret in the namespace that is
// restored to. It is empty if OpenShift has not made the secret, even after a
// while.
func (a *actions) targetPullSecret(ctx context.Context, r *velero.Restore, namespace, name string) (string, error) {
	prefix := generatedPrefix(name)
	if prefix == "" {
		return name, nil
	}
	state, err := a.registryState(ctx, r)
	if err != nil {
		return "", err
	}
	return a.pullSecrets.Get(ctx, r.Key(namespace, prefix), func(ctx context.Context) (string, error) {
		if state != registryOn {
			return a.findPullSecret(ctx, namespace, prefix)
		}
		return a.awaitPullSecret(ctx, r, namespace, prefix)
	})
}

// Pods are created as soon as they are restored, so their namespace must have
// its secrets by then. That takes seconds, if it happens at all.
const (
	pullSecretTime = 5 * time.Minute
	pullSecretPoll = time.Second
)

// awaitPullSecret returns the generated secret with that prefix. OpenShift makes
// those of all prefixes at a time, so that the time to wait is one for the
// namespace and not for each prefix.
func (a *actions) awaitPullSecret(ctx context.Context, r *velero.Restore, namespace, prefix string) (string, error) {
	deadline, err := a.deadlines.Get(ctx, r.Key(namespace), func(context.Context) (time.Time, error) {
		return time.Now().Add(a.pullSecretTime), nil
	})
	if err != nil {
		return "", err
	}
	for {
		name, err := a.findPullSecret(ctx, namespace, prefix)
		left := time.Until(deadline)
		if name != "" || err != nil || left <= 0 {
			return name, err
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(min(left, pullSecretPoll)):
		}
	}
}

// findPullSecret returns the secret with that prefix which belongs to a service
// account of the namespace.
func (a *actions) findPullSecret(ctx context.Context, namespace, prefix string) (string, error) {
	var candidates []*unstructured.Unstructured
	err := a.cluster.Each(ctx, api.Secrets, namespace, kube.Selection{Fields: "type=" + api.DockercfgType}, func(secret *unstructured.Unstructured) {
		if strings.HasPrefix(secret.GetName(), prefix) {
			candidates = append(candidates, secret)
		}
	})
	if err != nil || len(candidates) == 0 {
		return "", err
	}
	accounts := map[string]*unstructured.Unstructured{}
	err = a.cluster.Each(ctx, api.ServiceAccounts, namespace, kube.Selection{}, func(account *unstructured.Unstructured) {
		accounts[account.GetName()] = account
	})
	if err != nil {
		return "", err
	}
	for _, secret := range candidates {
		if belongs(secret, accounts) {
			return secret.GetName(), nil
		}
	}
	return "", nil
}

// belongs reports whether a secret was made for one of the service accounts.
// Since OpenShift 4.16 the account names its secret, before that the secret
// names its account.
func belongs(secret *unstructured.Unstructured, accounts map[string]*unstructured.Unstructured) bool {
	if name := fields.Annotation(secret, api.TokenAccountKey); name != "" {
		account := accounts[name]
		return account != nil && fields.Annotation(account, api.PullSecretRefKey) == secret.GetName()
	}
	uid := fields.Annotation(secret, api.AccountUIDKey)
	account := accounts[fields.Annotation(secret, api.AccountNameKey)]
	return account != nil && uid != "" && string(account.GetUID()) == uid
}

// swapPullSecrets swaps the references of a list such as imagePullSecrets and
// returns what is left of it.
func (a *actions) swapPullSecrets(ctx context.Context, r *velero.Restore, item *unstructured.Unstructured, references []any) ([]any, error) {
	kept := make([]any, 0, len(references))
	for _, element := range references {
		reference, ok := element.(fields.Map)
		if !ok {
			kept = append(kept, element)
			continue
		}
		keep, err := a.swapPullSecret(ctx, r, item, reference)
		if err != nil {
			return nil, err
		}
		if keep {
			kept = append(kept, element)
		}
	}
	return kept, nil
}

// swapPullSecret swaps one reference to a secret. It reports false if that
// leads nowhere after the restore and is to be dropped.
func (a *actions) swapPullSecret(ctx context.Context, r *velero.Restore, item *unstructured.Unstructured, reference fields.Map) (keep bool, err error) {
	name := fields.TextAt(reference, "name")
	if generatedPrefix(name) == "" {
		return true, nil
	}
	target, err := a.targetPullSecret(ctx, r, r.TargetNamespace(item.GetNamespace()), name)
	if err != nil {
		return false, err
	}
	if target == "" {
		slog.Warn("a reference to a generated pull secret is dropped, since the namespace has none of the kind",
			"item", fields.Describe(item), "secret", name, "target", r.TargetNamespace(item.GetNamespace()))
		return false, nil
	}
	reference["name"] = target
	return true, nil
}

// registryState is what a cluster tells of its registry.
type registryState string

const (
	registryOn      registryState = "on"      // OpenShift makes pull secrets for it
	registryOff     registryState = "off"     // and so it makes none
	registryUnknown registryState = "unknown" // no OpenShift, or one without a cluster version
)

// registryState tells whether to expect pull secrets. Before 4.15 OpenShift made
// them with the registry turned off as well.
func (a *actions) registryState(ctx context.Context, r *velero.Restore) (registryState, error) {
	return a.registries.Get(ctx, r.Key(), func(ctx context.Context) (registryState, error) {
		groups, err := a.apiGroups(ctx, &r.Task)
		if err != nil || !groups[api.ConfigGroup] {
			return registryUnknown, err
		}
		version, err := a.cluster.Get(ctx, api.ClusterVersions, "", "version")
		if version == nil {
			return registryUnknown, err
		}
		if !since415(fields.TextAt(version.Object, "status", "desired", "version")) {
			return registryOn, nil
		}
		if lacksRegistry(version) {
			return registryOff, nil
		}
		config, err := a.cluster.Get(ctx, api.RegistryConfigs, "", "cluster")
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
