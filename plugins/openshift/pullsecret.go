package main

import (
	"context"
	"log/slog"
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

// pullSecrets finds the generated secrets of a cluster, each once for a restore.
type pullSecrets struct {
	cluster  *kube.Cluster
	registry *clusterRegistry
	// waitTime is how long a namespace may take to get its secrets.
	waitTime time.Duration

	names     kube.Memo[string]
	deadlines kube.Memo[time.Time] // until which secrets are waited for, by namespace
}

func newPullSecrets(cluster *kube.Cluster, registry *clusterRegistry) *pullSecrets {
	return &pullSecrets{
		cluster: cluster, registry: registry, waitTime: pullSecretTime,
		// A namespace in which OpenShift makes no secrets is waited for once.
		names:     kube.Memo[string]{Lifetime: kube.WholeTask},
		deadlines: kube.Memo[time.Time]{Lifetime: kube.WholeTask},
	}
}

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

// target returns the name of a pull secret in the namespace that is
// restored to. It is empty if OpenShift has not made the secret, even after a
// while.
func (p *pullSecrets) target(ctx context.Context, r *velero.Restore, namespace, name string) (string, error) {
	prefix := generatedPrefix(name)
	if prefix == "" {
		return name, nil
	}
	state, err := p.registry.state(ctx, r)
	if err != nil {
		return "", err
	}
	return p.names.Get(ctx, r.Key(namespace, prefix), func(ctx context.Context) (string, error) {
		if state != registryOn {
			return p.find(ctx, namespace, prefix)
		}
		return p.await(ctx, r, namespace, prefix)
	})
}

// Pods are created as soon as they are restored, so their namespace must have
// its secrets by then. That takes seconds, if it happens at all.
const (
	pullSecretTime = 5 * time.Minute
	pullSecretPoll = time.Second
)

// await returns the generated secret with that prefix. OpenShift makes
// those of all prefixes at a time, so that the time to wait is one for the
// namespace and not for each prefix.
func (p *pullSecrets) await(ctx context.Context, r *velero.Restore, namespace, prefix string) (string, error) {
	deadline, err := p.deadlines.Get(ctx, r.Key(namespace), func(context.Context) (time.Time, error) {
		return time.Now().Add(p.waitTime), nil
	})
	if err != nil {
		return "", err
	}
	for {
		name, err := p.find(ctx, namespace, prefix)
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

// find returns the secret with that prefix which belongs to a service
// account of the namespace.
func (p *pullSecrets) find(ctx context.Context, namespace, prefix string) (string, error) {
	var candidates []*unstructured.Unstructured
	err := p.cluster.Each(ctx, api.Secrets, namespace, kube.Selection{Fields: "type=" + api.DockercfgType}, func(secret *unstructured.Unstructured) {
		if strings.HasPrefix(secret.GetName(), prefix) {
			candidates = append(candidates, secret)
		}
	})
	if err != nil || len(candidates) == 0 {
		return "", err
	}
	accounts := map[string]*unstructured.Unstructured{}
	err = p.cluster.Each(ctx, api.ServiceAccounts, namespace, kube.Selection{}, func(account *unstructured.Unstructured) {
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

// swapAll swaps the references of a list such as imagePullSecrets and
// returns what is left of it.
func (p *pullSecrets) swapAll(ctx context.Context, r *velero.Restore, item *unstructured.Unstructured, references []any) ([]any, error) {
	kept := make([]any, 0, len(references))
	for _, element := range references {
		reference, ok := element.(fields.Map)
		if !ok {
			kept = append(kept, element)
			continue
		}
		keep, err := p.swap(ctx, r, item, reference)
		if err != nil {
			return nil, err
		}
		if keep {
			kept = append(kept, element)
		}
	}
	return kept, nil
}

// swap swaps one reference to a secret. It reports false if that
// leads nowhere after the restore and is to be dropped.
func (p *pullSecrets) swap(ctx context.Context, r *velero.Restore, item *unstructured.Unstructured, reference fields.Map) (keep bool, err error) {
	name := fields.TextAt(reference, "name")
	if generatedPrefix(name) == "" {
		return true, nil
	}
	target, err := p.target(ctx, r, r.TargetNamespace(item.GetNamespace()), name)
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
