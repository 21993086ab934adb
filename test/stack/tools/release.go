package tools

import (
	"flag"
	"slices"
)

// VeleroRelease is a minor release of Velero that plugins have to work with.
type VeleroRelease string

// VeleroReleases lists those that the tests run plugins with: the oldest that
// is supported and every second one since.
func VeleroReleases() []VeleroRelease {
	return []VeleroRelease{"1.10", "1.12", "1.14", "1.16", "1.18"}
}

// ReleaseFlag defines the flag -velero of a test package, by which its tests run the
// server of another release:
//
//	go test ./test/e2e/openshift -args -velero 1.14
func ReleaseFlag() *FlaggedRelease {
	r := &FlaggedRelease{}
	flag.StringVar((*string)(&r.release), "velero", "", "release of Velero whose server runs, 1.14 or 1.16; the newest if empty")
	return r
}

// FlaggedRelease is the value of ReleaseFlag, which is known after flag.Parse.
type FlaggedRelease struct{ release VeleroRelease }

// IsDefault reports whether the newest release runs.
func (r *FlaggedRelease) IsDefault() bool { return r.release == "" }

// Server is the server of the release.
func (r *FlaggedRelease) Server() Program {
	if r.IsDefault() {
		return VeleroServer
	}
	return r.release.Server()
}

// Tools build what the release needs besides Core.
func (r *FlaggedRelease) Tools() []Tool {
	if r.IsDefault() {
		return nil
	}
	return []Tool{r.release.Tool()}
}

// Tool builds the programs of the release.
func (r VeleroRelease) Tool() Tool { return Tool("velero-" + r) }

// Host runs plugins behind the release's plugin client; see test/hosts.
func (r VeleroRelease) Host() Program { return Program("velero-host-" + r) }

// Server is the Velero server of 1.14 or 1.16. That of 1.18 is VeleroServer.
func (r VeleroRelease) Server() Program { return Program("velero-" + r) }

// releaseDefinitions lists the tools of the releases.
func releaseDefinitions() []definition {
	var all []definition
	for _, release := range VeleroReleases() {
		all = append(all, release.definition())
	}
	return all
}

func (r VeleroRelease) definition() definition {
	program := programDefinition{module: veleroModule, pin: semver}
	host, server := program, program
	host.name, host.pkg = r.Host(), "github.com/oadp-plugins/oadp-plugins/test/hosts/host"
	server.name, server.pkg, server.stamp = r.Server(), veleroModule+"/cmd/velero", veleroVersion
	d := definition{
		tool:     r.Tool(),
		dir:      "test/hosts/v" + string(r),
		sources:  []string{"test/hosts/host"},
		programs: []programDefinition{host},
		estimate: "a minute",
	}
	if slices.Contains([]VeleroRelease{"1.14", "1.16"}, r) {
		d.programs = append(d.programs, server)
		d.estimate = "2 to 4 minutes"
	}
	return d
}
