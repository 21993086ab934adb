package main

import (
	"fmt"
	"slices"
	"strings"
)

const modulePath = "github.com/oadp-plugins/oadp-plugins"

// heavy are modules that a vendor's plugin must not link by way of the SDK:
// Velero, the clouds' SDKs and Kubernetes clients.
var heavy = []string{
	"github.com/vmware-tanzu/velero", "github.com/velero-io/velero",
	"github.com/aws/", "github.com/Azure/", "cloud.google.com/", "google.golang.org/api",
	"k8s.io/client-go", "k8s.io/api", "sigs.k8s.io/controller-runtime",
}

// goPackage is what the rules need of the output of go list.
type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// violations returns the imports that go the wrong way, sorted. packages are
// ours and, for what the SDK links, their dependencies.
func violations(packages []goPackage) []string {
	sdk := linkedBySDK(packages)
	var found []string
	report := func(from, to, rule string) {
		found = append(found, fmt.Sprintf("%s imports %s: %s", from, to, rule))
	}
	for _, p := range packages {
		if sdk[p.ImportPath] {
			for _, to := range p.Imports {
				if isHeavy(to) {
					report(p.ImportPath, to, "the SDK links neither Velero, cloud SDKs nor Kubernetes clients")
				}
			}
		}
		for _, to := range p.Imports {
			if rule := forbidden(p.ImportPath, to, false); rule != "" {
				report(p.ImportPath, to, rule)
			}
		}
		for _, to := range slices.Concat(p.TestImports, p.XTestImports) {
			if rule := forbidden(p.ImportPath, to, true); rule != "" {
				report(p.ImportPath+" (test)", to, rule)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// linkedBySDK returns the paths of the SDK's packages and of all that they
// import, as far as it is in packages. It does not look into heavy packages.
func linkedBySDK(packages []goPackage) map[string]bool {
	imports := map[string][]string{}
	var queue []string
	for _, p := range packages {
		imports[p.ImportPath] = p.Imports
		if room(p.ImportPath) == "sdk" {
			queue = append(queue, p.ImportPath)
		}
	}
	linked := map[string]bool{}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if !linked[path] && !isHeavy(path) {
			linked[path] = true
			queue = append(queue, imports[path]...)
		}
	}
	return linked
}

func isHeavy(path string) bool {
	return slices.ContainsFunc(heavy, func(h string) bool {
		return path == strings.TrimSuffix(h, "/") || strings.HasPrefix(path, strings.TrimSuffix(h, "/")+"/")
	})
}

// forbidden returns the rule that keeps a package from importing another, or
// "". test says that the import is in a test file.
func forbidden(from, to string, test bool) string {
	source, target := room(from), room(to)
	switch {
	case source == "" || target == "":
		return ""
	case source == "test" && target == "test":
		return betweenTests(ownPath(from), ownPath(to))
	case source == "test":
		return ""
	case source == target:
		return betweenProviders(ownPath(from), ownPath(to), test)
	case strings.HasPrefix(target, "plugins/") && ownPath(from) == "internal/docgen":
		return "" // it documents the plugins
	case strings.HasPrefix(target, "plugins/"):
		return "nothing imports a plugin"
	case source == "sdk":
		return "the SDK imports nothing of ours"
	case source == "examples" && target != "sdk":
		return "examples use the SDK alone, as vendors do"
	case target == "test" && !test:
		return "only tests use the test stack"
	case target == "examples":
		return "nothing imports an example"
	}
	return betweenProviders(ownPath(from), ownPath(to), test)
}

// betweenTests returns the rule that keeps a package below test/ from importing
// another one there, or "". A suite imports what serves the suites, and nothing
// else imports a suite.
func betweenTests(from, to string) string {
	source, target := secondFolder(from), secondFolder(to)
	switch {
	case source == target, slices.Contains(servingTests, target):
		return ""
	case slices.Contains(servingTests, source):
		return "what serves the suites imports no suite"
	}
	return "suites do not import each other; what both need belongs in test/support"
}

// servingTests are the folders below test/ that are no suites of tests.
var servingTests = []string{"stack", "fakes", "support"}

// secondFolder returns "e2e" for test/e2e/images.
func secondFolder(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// ownPath returns the folder of a package of ours in the repository, such as
// internal/kube, and "" for other packages.
func ownPath(path string) string {
	own, ok := strings.CutPrefix(path, modulePath+"/")
	if !ok {
		return ""
	}
	return own
}

// room returns the top folder of a package of ours, for a plugin together with
// its own: sdk, internal, plugins/aws. It is empty for other packages.
func room(path string) string {
	path = ownPath(path)
	parts := strings.Split(path, "/")
	if parts[0] == "plugins" && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}
