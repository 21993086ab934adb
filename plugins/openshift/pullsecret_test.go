package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const clusterVersion = `{apiVersion: config.openshift.io/v1, kind: ClusterVersion, metadata: {name: version}, status: {desired: {version: 4.VERSION.1},
capabilities: {knownCapabilities: [ImageRegistry, Build], enabledCapabilities: [CAPABILITIES]}}}`

const registryConfig = "{apiVersion: imageregistry.operator.openshift.io/v1, kind: Config, metadata: {name: cluster}, spec: {managementState: Managed}}"

// References to generated pull secrets become those of the target namespace, in
// the way of old and of new releases.
func testPullSecrets(t *testing.T) {
	s := openShift(t)
	namespace := s.cluster.NewNamespace(t)
	in := func(text string) string { return strings.ReplaceAll(text, "NS", namespace) }
	s.create(strings.NewReplacer("VERSION", "18", "CAPABILITIES", "ImageRegistry").Replace(clusterVersion))
	s.create(registryConfig)
	account := s.create(in("{apiVersion: v1, kind: ServiceAccount, metadata: {name: deployer, namespace: NS}}"))[0]
	s.create(in(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder, namespace: NS, annotations: {openshift.io/internal-registry-pull-secret-ref: builder-dockercfg-new}}}`))
	secret := func(name, annotations string) string {
		return in("{apiVersion: v1, kind: Secret, type: kubernetes.io/dockercfg, metadata: {name: " + name + ", namespace: NS, annotations: {" + annotations + "}}, data: {.dockercfg: e30=}}")
	}
	s.create(secret("builder-dockercfg-aaa", "a: b")) // not generated
	s.create(secret("builder-dockercfg-bbb", "openshift.io/internal-registry-auth-token.service-account: builder"))
	s.create(secret("builder-dockercfg-new", "openshift.io/internal-registry-auth-token.service-account: builder"))
	s.create(secret("deployer-dockercfg-aaa", "kubernetes.io/service-account.name: deployer, kubernetes.io/service-account.uid: another"))
	s.create(secret("deployer-dockercfg-new", fmt.Sprintf("kubernetes.io/service-account.name: deployer, kubernetes.io/service-account.uid: %s", account.GetUID())))

	restore := in("{metadata: {name: r, uid: NS}, spec: {namespaceMapping: {shop: NS}}}")
	pod := func(secrets string) string {
		return "{kind: Pod, metadata: {name: p, namespace: shop}, spec: {imagePullSecrets: [" + secrets + "]}}"
	}
	restoreCases(t, s.actions, "07-pod-restore", []restoreCase{
		{what: "both ways", restore: restore, item: pod("{name: builder-dockercfg-old}, {name: mine}, {name: deployer-dockercfg-old}, 7"),
			want: pod("{name: builder-dockercfg-new}, {name: mine}, {name: deployer-dockercfg-new}, 7")},
	})
	buildConfig := func(secret, ns, host, target string) string {
		return strings.NewReplacer("SECRET", secret, "SPACE", ns, "HOST", host, "TARGET", target).Replace(`
kind: BuildConfig
metadata: {name: b, namespace: shop, annotations: {openshift.io/backup-registry-hostname: old, openshift.io/restore-registry-hostname: new}}
spec:
  output: {to: {kind: DockerImage, name: HOST/TARGET/out}, pushSecret: {name: SECRET}}
  strategy: {sourceStrategy: {from: {kind: ImageStreamTag, name: "ruby:1", namespace: SPACE}, pullSecret: {name: SECRET}}}
  source: {images: [{from: {kind: ImageStreamImage, name: "a@b", namespace: SPACE}, pullSecret: {name: SECRET}}, {from: {kind: DockerImage, name: HOST/TARGET/in}, pullSecret: {name: mine}}]}
  triggers: [{type: ImageChange, imageChange: {from: {kind: ImageStreamTag, name: "x:1", namespace: SPACE}}}, {type: ConfigChange}, {type: ImageChange, imageChange: {}}]
`)
	}
	restoreCases(t, s.actions, "17-buildconfig", []restoreCase{
		{what: "build config", restore: restore, item: buildConfig("builder-dockercfg-old", "shop", "old", "shop"),
			want: buildConfig("builder-dockercfg-new", namespace, "new", namespace)},
		{what: "empty", restore: restore, item: "kind: BuildConfig"},
	})

	// The pods of a namespace wait together until OpenShift has made the secret.
	s.requests.Take()
	var done sync.WaitGroup
	for range 20 {
		done.Go(func() {
			restoreCases(t, s.actions, "07-pod-restore", []restoreCase{
				{what: "waiting", restore: restore, item: pod("{name: default-dockercfg-old}"), want: pod("{name: default-dockercfg-new}")},
			})
		})
	}
	s.awaitRequests(1)
	_, err := s.cluster.Kubernetes.CoreV1().ServiceAccounts(namespace).Patch(t.Context(), "default", "application/merge-patch+json",
		[]byte(`{"metadata":{"annotations":{"openshift.io/internal-registry-pull-secret-ref":"default-dockercfg-new"}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.create(secret("default-dockercfg-new", "openshift.io/internal-registry-auth-token.service-account: default"))
	done.Wait()
	if sent := s.requests.Take(); len(sent) > 8 {
		t.Errorf("20 pods took the requests %v", sent)
	}
}

// A namespace whose secrets do not come is waited for once; its pods lose the
// references, which lead nowhere.
func testPullSecretsNeverCome(t *testing.T) {
	s := openShift(t)
	s.pullSecrets.waitTime = 100 * time.Millisecond
	namespace := s.cluster.NewNamespace(t)
	s.create(strings.NewReplacer("VERSION", "14", "CAPABILITIES", "").Replace(clusterVersion))
	item := func(secrets string) string {
		return "{kind: Pod, metadata: {name: p, namespace: " + namespace + "}, spec: {imagePullSecrets: [" + secrets + "]}}"
	}
	restored := func() {
		t.Helper()
		restoreCases(t, s.actions, "07-pod-restore", []restoreCase{{what: "no secret", restore: "{metadata: {uid: w1}}",
			item: item("{name: mine}, {name: default-dockercfg-old}"), want: item("{name: mine}")}})
	}
	restored()
	s.requests.Take()
	restored()
	if sent := s.requests.Take(); len(sent) != 0 {
		t.Errorf("the second pod took the requests %v", sent)
	}
}

// OpenShift makes the secrets of a namespace at a time, so that they are waited
// for together, however many kinds of them are missing.
func testPullSecretsAreAwaitedOnce(t *testing.T) {
	s := openShift(t)
	s.pullSecrets.waitTime = 3 * time.Second
	namespace := s.cluster.NewNamespace(t)
	s.create(strings.NewReplacer("VERSION", "14", "CAPABILITIES", "").Replace(clusterVersion))
	begun := time.Now()
	for _, prefix := range []string{"default", "builder", "deployer"} {
		restoreCases(t, s.actions, "07-pod-restore", []restoreCase{{what: prefix, restore: "{metadata: {uid: w2}}",
			item: "{kind: Pod, metadata: {name: p, namespace: " + namespace + "}, spec: {imagePullSecrets: [{name: " + prefix + "-dockercfg-old}]}}",
			want: "{kind: Pod, metadata: {name: p, namespace: " + namespace + "}, spec: {imagePullSecrets: []}}"}})
	}
	if took := time.Since(begun); took < s.pullSecrets.waitTime || took >= 2*s.pullSecrets.waitTime {
		t.Errorf("the namespace was waited for %s", took)
	}
}

// awaitRequests waits until the actions have sent so many requests.
func (s site) awaitRequests(n int) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if s.requests.Len() >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("the actions ask the cluster nothing")
}

// A cluster whose registry is turned off makes no secrets, so nothing waits.
func testNoRegistry(t *testing.T) {
	s := openShift(t)
	namespace := s.cluster.NewNamespace(t)
	pod := func(name, secrets string) string {
		return "{kind: Pod, metadata: {name: " + name + ", namespace: " + namespace + "}, spec: {imagePullSecrets: [" + secrets + "]}}"
	}
	for _, c := range []struct{ what, version, capabilities, config, want string }{
		{"no capability", "18", "Build", registryConfig, "{name: default-dockercfg-old}"},
		{"no configuration", "18", "ImageRegistry", "", "{name: default-dockercfg-old}"},
		{"removed", "15", "ImageRegistry", strings.Replace(registryConfig, "Managed", "Removed", 1), "{name: default-dockercfg-old}"},
		{"no cluster version", "", "", "", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := openShift(t)
			if c.version != "" {
				s.create(strings.NewReplacer("VERSION", c.version, "CAPABILITIES", c.capabilities).Replace(clusterVersion))
			}
			if c.config != "" {
				s.create(c.config)
			}
			// A build takes the reference as it is given: one that leads nowhere fails it.
			build := "{kind: BuildConfig, metadata: {name: b, namespace: " + namespace + "}, spec: {output: {SECRET}, strategy: {dockerStrategy: {noCache: true}}}}"
			restoreCases(t, s.actions, "17-buildconfig", []restoreCase{{what: c.what, restore: "{metadata: {uid: n1}}",
				item: strings.Replace(build, "SECRET", "pushSecret: {name: builder-dockercfg-old}", 1), want: strings.Replace(build, "SECRET", "", 1)}})
			restoreCases(t, s.actions, "07-pod-restore", []restoreCase{{what: c.what,
				item: pod("p", "{name: default-dockercfg-old}, {name: mine}"), restore: "{metadata: {uid: n1}}",
				want: pod("p", strings.TrimPrefix(c.want+", {name: mine}", ", "))}})
		})
	}
}
