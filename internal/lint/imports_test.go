package main

import (
	"slices"
	"strings"
	"testing"
)

func own(paths ...string) []string {
	for i, p := range paths {
		paths[i] = modulePath + "/" + p
	}
	return paths
}

func TestViolations(t *testing.T) {
	const m = modulePath + "/"
	for _, c := range []struct {
		what string
		pkg  goPackage
		want string // part of the report, "" for none
	}{
		{"plugin on internal and sdk", goPackage{ImportPath: m + "plugins/aws", Imports: own("internal/objectstore/s3", "sdk", "plugins/aws/ebs")}, ""},
		{"plugin on plugin", goPackage{ImportPath: m + "plugins/aws", Imports: own("plugins/gcp")}, "nothing imports a plugin"},
		{"generator of documentation on plugin", goPackage{ImportPath: m + "internal/docgen", Imports: own("plugins/openshift/settings")}, ""},
		{"internal on plugin", goPackage{ImportPath: m + "internal/kube", Imports: own("plugins/aws")}, "nothing imports a plugin"},
		{"internal on internal and clouds", goPackage{ImportPath: m + "internal/objectstore/s3", Imports: append(own("internal/transfer", "sdk/config"), "github.com/aws/aws-sdk-go-v2/aws")}, ""},
		{"internal on test stack", goPackage{ImportPath: m + "internal/kube", Imports: own("test/stack")}, "only tests"},
		{"internal's tests on test stack", goPackage{ImportPath: m + "internal/kube", XTestImports: own("test/stack")}, ""},
		{"sdk on internal", goPackage{ImportPath: m + "sdk/config", Imports: own("internal/kube")}, "imports nothing of ours"},
		{"sdk's tests on internal", goPackage{ImportPath: m + "sdk", TestImports: own("internal/kube")}, "imports nothing of ours"},
		{"sdk on sdk", goPackage{ImportPath: m + "sdk", Imports: own("sdk/config", "sdk/internal/server")}, ""},
		{"sdk on client-go", goPackage{ImportPath: m + "sdk", Imports: []string{"k8s.io/client-go/rest"}}, "Kubernetes clients"},
		{"sdk on apimachinery", goPackage{ImportPath: m + "sdk", Imports: []string{"k8s.io/apimachinery/pkg/api/errors"}}, ""},
		{"sdk on the API types", goPackage{ImportPath: m + "sdk", Imports: []string{"k8s.io/api/core/v1"}}, "Kubernetes clients"},
		{"test on all", goPackage{ImportPath: m + "test/e2e", Imports: own("plugins/aws", "internal/kube", "sdk")}, ""},
		{"test on internal test", goPackage{ImportPath: m + "test/e2e/images", Imports: own("test/e2e/cases", "test/fakes/openshift", "test/support/host", "test/stack")}, ""},
		{"suite on suite", goPackage{ImportPath: m + "test/e2e/images", XTestImports: own("test/faults/network")}, "suites do not import each other"},
		{"fake on suite", goPackage{ImportPath: m + "test/fakes/aws", TestImports: own("test/compat")}, "imports no suite"},
		{"contract on provider", goPackage{ImportPath: m + "internal/objectstore", Imports: own("internal/objectstore/s3")}, "does not import its providers"},
		{"contract's tests on provider", goPackage{ImportPath: m + "internal/objectstore", XTestImports: own("internal/objectstore/s3")}, ""},
		{"store on contract, access and endpoint", goPackage{ImportPath: m + "internal/objectstore/azblob", Imports: own("internal/objectstore", "internal/azureaccess", "internal/endpoint")}, ""},
		{"store on another cloud's store", goPackage{ImportPath: m + "internal/objectstore/azblob", Imports: own("internal/objectstore/s3")}, "what knows another"},
		{"store's tests on another cloud's identities", goPackage{ImportPath: m + "internal/objectstore/gcs", TestImports: own("internal/azureaccess/arm")}, "what knows another"},
		{"snapshotter on another cloud's identities", goPackage{ImportPath: m + "internal/snapshots/gcedisk", Imports: own("internal/awsaccess")}, "what knows another"},
		{"plugin on another cloud's store", goPackage{ImportPath: m + "plugins/azure", Imports: own("internal/objectstore/s3")}, "what knows another"},
		{"snapshotter on store", goPackage{ImportPath: m + "internal/snapshots/ebs", Imports: own("internal/objectstore/s3")}, "do not import each other"},
		{"access on store", goPackage{ImportPath: m + "internal/awsaccess", Imports: own("internal/objectstore/s3")}, "neither stores nor snapshotters"},
		{"endpoint on access", goPackage{ImportPath: m + "internal/endpoint/trust", Imports: own("internal/gcpaccess")}, "knows no cloud"},
		{"choice of a store on all stores", goPackage{ImportPath: m + "internal/objectstore/open", Imports: own("internal/objectstore/s3", "internal/objectstore/azblob", "internal/objectstore/gcs")}, ""},
		{"store on the choice of a store", goPackage{ImportPath: m + "internal/objectstore/gcs", Imports: own("internal/objectstore/open")}, "not the other way round"},
		{"openshift on the choice of a store", goPackage{ImportPath: m + "plugins/openshift", Imports: own("internal/objectstore/open")}, ""},
		{"example on internal", goPackage{ImportPath: m + "examples/fs", Imports: own("internal/transfer")}, "as vendors do"},
		{"example on sdk", goPackage{ImportPath: m + "examples/fs", Imports: own("sdk")}, ""},
	} {
		got := violations([]goPackage{c.pkg})
		if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// TestProvidersWithoutCloud finds packages that the rules for clouds would miss.
func TestProvidersWithoutCloud(t *testing.T) {
	var packages []goPackage
	for _, path := range own("internal/awsaccess/trust", "internal/snapshots/ebs", "internal/snapshots", "internal/access", "internal/ibmaccess", "internal/snapshots/cinder", "internal/objectstore/open") {
		packages = append(packages, goPackage{ImportPath: path})
	}
	got := providersWithoutCloud(packages)
	if len(got) != 3 || !strings.Contains(got[0], "internal/access ") || !strings.Contains(got[1], "internal/ibmaccess ") || !strings.Contains(got[2], "snapshots/cinder ") {
		t.Errorf("%q", got)
	}
}

// TestHeavyPackagesAreFoundBehindOthers has the SDK link client-go by way of an
// innocent package. A plugin may do so.
func TestHeavyPackagesAreFoundBehindOthers(t *testing.T) {
	packages := []goPackage{
		{ImportPath: modulePath + "/sdk", Imports: []string{"example.com/a"}},
		{ImportPath: modulePath + "/plugins/csi", Imports: []string{"example.com/c"}},
		{ImportPath: "example.com/a", Imports: []string{"example.com/b", "fmt"}},
		{ImportPath: "example.com/b", Imports: []string{"k8s.io/client-go/kubernetes"}},
		{ImportPath: "example.com/c", Imports: []string{"k8s.io/client-go/kubernetes"}},
		{ImportPath: "k8s.io/client-go/kubernetes", Imports: []string{"k8s.io/client-go/rest"}},
	}
	got := violations(packages)
	if len(got) != 1 || !strings.HasPrefix(got[0], "example.com/b imports k8s.io/client-go/kubernetes") {
		t.Errorf("%q", got)
	}
}

// TestGoListIsUnderstood makes sure that the rules see the packages that there
// are.
func TestGoListIsUnderstood(t *testing.T) {
	packages, err := listPackages("../../sdk")
	if err != nil {
		t.Fatal(err)
	}
	has := func(path string) bool {
		return slices.ContainsFunc(packages, func(p goPackage) bool { return p.ImportPath == path && len(p.Imports) > 0 })
	}
	for _, path := range []string{modulePath + "/sdk", modulePath + "/sdk/config", "google.golang.org/grpc"} {
		if !has(path) {
			t.Errorf("go list does not give %s", path)
		}
	}
}
