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
	"strings"
)

// source is a tool's definition with what its module pins.
type source struct {
	definition
	root     string // of the checkout
	versions map[Program]version
	ldflags  map[string]string // by package
	key      string            // digest of all that decides what the build gives
}

// openSource reads the module of a tool.
func openSource(tool Tool) (source, error) {
	d, err := definitionOf(tool)
	if err != nil {
		return source{}, err
	}
	root, err := checkout()
	if err != nil {
		return source{}, err
	}
	src := source{definition: d, root: root, versions: map[Program]version{}, ldflags: map[string]string{}}
	if d.debian == "" && !d.npm {
		if err := src.readPins(); err != nil {
			return source{}, fmt.Errorf("%s: %w", src.module(), err)
		}
	}
	src.key, err = src.digest()
	return src, err
}

// module is the folder of the tool's module.
func (s source) module() string { return filepath.Join(s.root, s.dir) }

func (s source) readPins() error {
	gomod, err := os.ReadFile(filepath.Join(s.module(), "go.mod"))
	if err != nil {
		return err
	}
	for _, pkg := range s.packages() {
		flags := []string{"-s -w"}
		for _, p := range s.programsOf(pkg) {
			v, text, err := required(string(gomod), p.module, p.pin)
			if err != nil {
				return err
			}
			s.versions[p.name] = v
			if p.stamp != nil {
				flags = append(flags, p.stamp(v, text)...)
			}
		}
		s.ldflags[pkg] = strings.Join(flags, " -X ")
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

// commands gives the commands of the programs as they are built below root.
func (s source) commands(root string) Commands {
	commands := Commands{}
	for _, p := range s.programs {
		commands[p.name] = s.command(p, s.binary(root, p.pkg))
	}
	return commands
}

// binary is the executable that a package becomes below root.
func (s source) binary(root, pkg string) string {
	return filepath.Join(root, string(s.tool)+"-"+s.key, s.executable(pkg))
}

// built reports whether all executables are there.
func (s source) built(root string) bool {
	for _, pkg := range s.packages() {
		if _, err := os.Stat(s.binary(root, pkg)); err != nil {
			return false
		}
	}
	return true
}

// folders are those whose files go into the build.
func (s source) folders() []string {
	if s.dir == "" {
		return nil
	}
	return append([]string{s.dir}, s.sources...)
}

func (s source) digest() (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, pkg := range s.packages() {
		fmt.Fprintf(sum, "%s\n%s\n", pkg, s.ldflags[pkg])
	}
	for _, dir := range s.folders() {
		folder := os.DirFS(filepath.Join(s.root, dir))
		files, err := fs.ReadDir(folder, ".")
		if err != nil {
			return "", err
		}
		for _, file := range files {
			name := file.Name()
			switch {
			case name == "go.mod", name == "go.sum", name == "package.json", name == "package-lock.json", filepath.Ext(name) == ".go":
			default:
				continue
			}
			content, err := fs.ReadFile(folder, name)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(sum, "%s %d\n", name, len(content))
			sum.Write(content)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// checkout returns the root of the checkout that the working directory is in;
// `go test` and `go run` are inside one.
func checkout() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, pinnedIn("controlplane"), "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is in no checkout of this project; run from one, it holds the pinned versions of the servers", start)
		}
	}
}
