package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestSettingsPage(t *testing.T) {
	page := string(settingsPage([]variable{{"A_B", "", "a|b", "x, y", "m"}, {"A_C", "1m", "duration", "x", "m"}}))
	if want := "| `A_B` | - | a\\|b | x,<br>y | m |\n| `A_C` | 1m | duration | x | m |\n"; !strings.HasSuffix(page, want) {
		t.Error(page)
	}
}

var (
	// variableName matches the names of variables that are ours, the clouds' or
	// Velero's, and the beginning of such a name.
	variableName = regexp.MustCompile(`^(OADP|OPENSHIFT|KUBEVIRT|VELERO|PLUGIN|AWS|AZURE|GOOGLE)_[A-Z0-9_]+$`)

	// documented are the folders whose programs read the environment of Velero's
	// pod.
	documented = []string{"plugins", "internal", "sdk"}
	// undocumented are the folders in them with programs for developers.
	undocumented = []string{"internal/abigen", "internal/docgen", "internal/imagebuild", "internal/lint", "sdk/cmd", "sdk/plugintest", "sdk/velerocompat"}
)

// TestSettingsAreComplete looks for variables in the sources.
func TestSettingsAreComplete(t *testing.T) {
	listed, used := map[string]bool{}, map[string]bool{}
	for _, v := range allVariables() {
		if listed[v.name] {
			t.Errorf("variable %s is listed twice", v.name)
		}
		listed[v.name] = true
		if v.name == "" || v.form == "" || v.plugins == "" || v.about == "" {
			t.Errorf("variable %+v has an empty part", v)
		}
	}
	codes := map[string]bool{}
	for _, a := range catalogue {
		for _, c := range a.codes {
			codes[c.ID] = true
		}
	}
	for _, folder := range documented {
		eachSource(t, filepath.Join("../..", folder), func(path string, file *ast.File) {
			for _, name := range variablesIn(file) {
				used[name] = true
				if !listed[name] && !codes[name] && notSettings[name] == "" {
					t.Errorf("%s has %s, which is neither a variable on the page of settings nor a code; variables are written in full", path, name)
				}
			}
		})
	}
	for name := range listed {
		if variableName.MatchString(name) && !used[name] {
			t.Errorf("the page of settings has %s, which no source has in full", name)
		}
	}
	for name := range notSettings {
		if !used[name] || listed[name] {
			t.Errorf("notSettings has %s, which is on the page of settings or in no source", name)
		}
	}
}

// TestSettingsHaveTheLimitsOfProcesses compares the defaults on the page with
// those that the SDK's server has in calls of the form
//
//	duration("OADP_PLUGIN_CLIENT_TIMEOUT", time.Minute)
func TestSettingsHaveTheLimitsOfProcesses(t *testing.T) {
	short := map[string]string{"0": "0", "time.Minute": "1m", "5 * time.Second": "5s", "10 * time.Minute": "10m"}
	call := regexp.MustCompile(`duration\("([A-Z_]+)", ([^)]+)\)`)
	calls := call.FindAllStringSubmatch(readSource(t, "../../sdk/internal/server/server.go"), -1)
	if len(calls) < 5 {
		t.Fatalf("found %d limits", len(calls))
	}
	for _, c := range calls {
		i := slices.IndexFunc(otherVariables, func(v variable) bool { return v.name == c[1] })
		want := short[strings.ReplaceAll(c[2], "*", " * ")]
		if i < 0 || want == "" || otherVariables[i].def != want {
			t.Errorf("%s has the default %s, %q for the page", c[1], c[2], want)
		}
	}
}

func TestVariablesIn(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
// OADP_COMMENT is read by nobody.
const text = "set OADP_SENTENCE"
var a, b = os.Getenv("TMPDIR"), f("OADP_NEW", "OADP_PART_" + b)
var c = s.Getenv(variable)
`, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := variablesIn(file), []string{"TMPDIR", "OADP_NEW", "OADP_PART_"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// variablesIn returns the string literals in a file that have the form of a
// variable's name, and all that are asked of the environment directly.
func variablesIn(file *ast.File) []string {
	var names []string
	add := func(e ast.Expr, any bool) {
		literal, ok := e.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		name, err := strconv.Unquote(literal.Value)
		if err == nil && (any || variableName.MatchString(name)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 1 {
			function, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Getenv", "LookupEnv", "OrEnv"}, function.Sel.Name) {
				add(call.Args[0], true)
			}
		}
		if literal, ok := n.(*ast.BasicLit); ok {
			add(literal, false)
		}
		return true
	})
	return names
}

// eachSource calls visit for the Go files below a folder that plugins are made of.
func eachSource(t *testing.T, folder string, visit func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		own := filepath.ToSlash(strings.TrimPrefix(path, filepath.FromSlash("../../")))
		if d.IsDir() && (slices.Contains(undocumented, own) || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		visit(own, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readSource(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
