package tools

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// source is the module that pins and builds one tool.
type source struct {
	tool     Tool
	dir      string
	pkg      string
	ldflags  string
	versions map[Program]version
	estimate string
	key      string
}

// openSource reads the module of a tool. The checkout is found from the
// working directory, which `go test` and `go run` set inside it.
func openSource(tool Tool) (source, error) {
	if !slices.Contains(All(), tool) {
		return source{}, fmt.Errorf("no tool %q; there are %v", tool, All())
	}
	parent, err := findModules()
	if err != nil {
		return source{}, err
	}
	src := source{tool: tool, dir: filepath.Join(parent, string(tool)), versions: map[Program]version{}}
	gomod, err := os.ReadFile(filepath.Join(src.dir, "go.mod"))
	if err != nil {
		return source{}, err
	}
	if err := src.describe(string(gomod)); err != nil {
		return source{}, fmt.Errorf("%s: %w", filepath.Join(src.dir, "go.mod"), err)
	}
	src.key, err = src.digest()
	return src, err
}

func (s *source) describe(gomod string) error {
	stamp := func(values ...string) {
		s.ldflags = "-s -w -X " + strings.Join(values, " -X ")
	}
	switch s.tool {
	case ControlPlane:
		kubernetes, text, err := required(gomod, "k8s.io/kubernetes", semver)
		if err != nil {
			return err
		}
		etcd, _, err := required(gomod, "go.etcd.io/etcd/server/v3", semver)
		if err != nil {
			return err
		}
		s.versions[Etcd] = etcd
		s.versions[KubeAPIServer], s.versions[KubeControllerManager] = kubernetes, kubernetes
		s.pkg, s.estimate = ".", "4 to 8 minutes"
		const pkg = "k8s.io/component-base/version."
		stamp(pkg+"gitVersion="+text, pkg+"gitTreeState=clean",
			fmt.Sprintf("%sgitMajor=%d", pkg, kubernetes[0]), fmt.Sprintf("%sgitMinor=%d", pkg, kubernetes[1]))
	case MinIO:
		date, _, err := required(gomod, "github.com/minio/minio", pseudo)
		if err != nil {
			return err
		}
		s.versions[MinIOServer] = date
		s.pkg, s.estimate = "github.com/minio/minio", "2 to 4 minutes"
		day := fmt.Sprintf("%04d-%02d-%02dT", date[0], date[1], date[2])
		const pkg = "github.com/minio/minio/cmd."
		stamp(pkg+"ReleaseTag=RELEASE."+day+fmt.Sprintf("%02d-%02d-%02dZ", date[3], date[4], date[5]),
			pkg+"Version="+day+fmt.Sprintf("%02d:%02d:%02dZ", date[3], date[4], date[5]))
	case Velero:
		v, text, err := required(gomod, "github.com/vmware-tanzu/velero", semver)
		if err != nil {
			return err
		}
		s.versions[VeleroServer] = v
		s.pkg, s.estimate = "github.com/vmware-tanzu/velero/cmd/velero", "2 to 4 minutes"
		stamp("github.com/vmware-tanzu/velero/pkg/buildinfo.Version=" + text)
	}
	return nil
}

// required returns the version of a module that gomod requires, as numbers and
// as text.
func required(gomod, module string, pattern *regexp.Regexp) (version, string, error) {
	for line := range strings.Lines(gomod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == module {
			v, err := parseVersion(pattern, fields[1])
			return v, fields[1], err
		}
	}
	return nil, "", fmt.Errorf("%s is not required", module)
}

func (s source) programs() []Program {
	switch s.tool {
	case ControlPlane:
		return []Program{Etcd, KubeAPIServer, KubeControllerManager}
	case MinIO:
		return []Program{MinIOServer}
	default:
		return []Program{VeleroServer}
	}
}

func (s source) multiCall() bool { return len(s.programs()) > 1 }

// commands gives the commands of the programs in the binary at path.
func (s source) commands(path string) Commands {
	commands := Commands{}
	for _, program := range s.programs() {
		argv := []string{path}
		if s.multiCall() {
			argv = append(argv, string(program))
		}
		commands[program] = argv
	}
	return commands
}

func (s source) binary(root string) string {
	return filepath.Join(root, string(s.tool)+"-"+s.key, string(s.tool))
}

// digest covers everything that decides what the build gives.
func (s source) digest() (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s/%s\n%s\n%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, s.pkg, s.ldflags)
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		name := entry.Name()
		if name != "go.mod" && name != "go.sum" && filepath.Ext(name) != ".go" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(content))
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// findModules returns the folder test/stack/tools of the checkout that the
// working directory is in.
func findModules() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		modules := filepath.Join(dir, "test", "stack", "tools")
		_, err := os.Stat(filepath.Join(modules, string(ControlPlane), "go.mod"))
		if err == nil {
			return modules, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is in no checkout of this project; run from one, it holds the pinned versions of the servers", start)
		}
	}
}
