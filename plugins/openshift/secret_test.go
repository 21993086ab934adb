package main

import (
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	secret := func(kind, annotations string) string {
		return "{kind: Secret, type: " + kind + ", metadata: {name: s, annotations: {" + annotations + "}}}"
	}
	restoreCases(t, offline(t), "18-secret", []restoreCase{
		{what: "opaque", item: secret("Opaque", "a: b")},
		{what: "serving certificate", item: secret("kubernetes.io/tls", "service.alpha.openshift.io/originating-service-name: web"), skip: true},
		{what: "serving certificate, beta", item: secret("kubernetes.io/tls", "service.beta.openshift.io/originating-service-name: web"), skip: true},
		{what: "TLS of a user", item: secret("kubernetes.io/tls", "a: b")},
		{what: "pull secret of a user", item: secret("kubernetes.io/dockercfg", "a: b")},
		{what: "pull secret, 4.16", item: secret("kubernetes.io/dockercfg", "openshift.io/internal-registry-auth-token.service-account: default"), skip: true},
		{what: "pull secret, 4.15", item: secret("kubernetes.io/dockercfg", "kubernetes.io/service-account.uid: u"), skip: true},
		{what: "token of a user", item: secret("kubernetes.io/service-account-token", "kubernetes.io/service-account.name: default")},
		{what: "token for a pull secret", item: secret("kubernetes.io/service-account-token", "kubernetes.io/created-by: openshift.io/create-dockercfg-secrets"), skip: true},
		{what: "no metadata", item: "kind: Secret"},
	})
}

func TestConfigMap(t *testing.T) {
	const key = "oadp.openshift.io/skip-buildconfig-configmap-restore"
	plain := func(name, value string) string {
		return "{kind: ConfigMap, metadata: {name: " + name + ", annotations: {" + key + ": \"" + value + "\"}}}"
	}
	unmarked := func(name string) string { return "{kind: ConfigMap, metadata: {name: " + name + "}}" }
	owned := func(name, pod, value string) string {
		return strings.Replace(plain(name, value), "metadata: {", "metadata: {ownerReferences: [{kind: Pod, name: "+pod+"}], ", 1)
	}
	restoreCases(t, offline(t), "25-configmap-restore", []restoreCase{
		{what: "marked", item: plain("a", "true"), skip: true},
		{what: "marked as kept", item: plain("a", "false")},
		{what: "odd mark", item: plain("a", "perhaps")},
		{what: "no mark", item: unmarked("a-ca")},
		{what: "old backup, ca", item: unmarked("app-1-ca"), backup: owned("app-1-ca", "app-1-build", ""), skip: true},
		{what: "old backup, global ca", item: unmarked("app-1-global-ca"), backup: owned("app-1-global-ca", "app-1-build", ""), skip: true},
		{what: "old backup, system config", item: unmarked("app-1-sys-config"), backup: owned("app-1-sys-config", "app-1-build", ""), skip: true},
		{what: "old backup, kept", item: plain("app-1-ca", "false"), backup: owned("app-1-ca", "app-1-build", "false")},
		{what: "of another pod", item: unmarked("app-1-ca"), backup: owned("app-1-ca", "web-0", "")},
		{what: "of another build", item: unmarked("app-2-ca"), backup: owned("app-2-ca", "app-1-build", "")},
		{what: "another name", item: unmarked("app-1-settings"), backup: owned("app-1-settings", "app-1-build", "")},
	})
}

// What a service account is given by OpenShift is made anew.
func TestServiceAccount(t *testing.T) {
	account := func(name, secrets, pull, annotations string) string {
		return "{kind: ServiceAccount, metadata: {name: " + name + annotations + "}, secrets: [" + secrets + "], imagePullSecrets: [" + pull + "], x: 1}"
	}
	const long = "an-account-whose-name-is-cut-off"
	restoreCases(t, offline(t), "02-serviceaccount-restore", []restoreCase{
		{what: "both", item: account("app", "{name: app-dockercfg-1}, {name: mine}", "{name: app-dockercfg-1}, {name: app-dockercfg-2}", ""),
			want: account("app", "{name: mine}", "", "")},
		{what: "secrets only", item: account("app", "{name: app-dockercfg-1}, {name: mine}", "{name: mine}", ""),
			want: account("app", "{name: mine}", "{name: mine}", "")},
		{what: "of another account", item: account("app", "{name: application-dockercfg-1}", "{name: a}", "")},
		{what: "by reference", item: account(long, "{name: cut-off-dockercfg-1}", "{name: cut-off-dockercfg-1}, {name: mine}",
			", annotations: {openshift.io/internal-registry-pull-secret-ref: cut-off-dockercfg-1}"),
			want: account(long, "", "{name: mine}", "")},
		{what: "none", item: "{kind: ServiceAccount, metadata: {name: app}}"},
		{what: "odd lists", item: "{kind: ServiceAccount, metadata: {name: app}, secrets: {a: b}, imagePullSecrets: [1, null, {name: 5}]}"},
	})
}
