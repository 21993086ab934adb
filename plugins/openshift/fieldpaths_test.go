package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	openshiftappsv1 "github.com/openshift/api/apps/v1"
	authorizationv1 "github.com/openshift/api/authorization/v1"
	buildv1 "github.com/openshift/api/build/v1"
	configv1 "github.com/openshift/api/config/v1"
	imagev1 "github.com/openshift/api/image/v1"
	imageregistryv1 "github.com/openshift/api/imageregistry/v1"
	routev1 "github.com/openshift/api/route/v1"
	securityv1 "github.com/openshift/api/security/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// kinds are the objects whose fields the actions name as text.
var kinds = []any{
	imagev1.ImageStream{}, imagev1.ImageStreamTag{}, imagev1.ImageStreamImport{}, openshiftappsv1.DeploymentConfig{},
	buildv1.BuildConfig{}, routev1.Route{}, securityv1.SecurityContextConstraints{},
	authorizationv1.RoleBinding{}, authorizationv1.ClusterRoleBinding{},
	configv1.ClusterVersion{}, configv1.Image{}, imageregistryv1.Config{},
	appsv1.Deployment{}, appsv1.StatefulSet{}, appsv1.DaemonSet{}, appsv1.ReplicaSet{}, batchv1.Job{}, batchv1.CronJob{},
	corev1.Pod{}, corev1.ReplicationController{}, corev1.PersistentVolume{}, corev1.PersistentVolumeClaim{},
	corev1.Service{}, corev1.ServiceAccount{}, corev1.Secret{}, corev1.ConfigMap{},
	rbacv1.Role{}, rbacv1.RoleBinding{}, autoscalingv2.HorizontalPodAutoscaler{},
}

// elsewhere are paths in objects of Velero, whose types nothing here imports, and in
// annotations.
var elsewhere = []string{
	"spec.storageLocation", "spec.accessMode", "spec.defaultVolumesToRestic", "spec.defaultVolumesToFsBackup",
	"fieldPath", // of the annotation image.openshift.io/triggers
	"paused",    // likewise
}

// TestFieldPaths walks every path of fields in the sources through the Go types of the
// APIs, so that a misspelt one fails.
func TestFieldPaths(t *testing.T) {
	var roots []reflect.Type
	for _, kind := range kinds {
		roots = append(roots, reflect.TypeOf(kind))
	}
	inner := map[reflect.Type]bool{}
	for _, root := range roots {
		collect(root, inner)
	}
	checked := 0
	for _, pattern := range []string{"*.go", "imagecopy/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				p := pathOf(n)
				if len(p.names) == 0 || slices.Contains(elsewhere, strings.Join(p.names, ".")) {
					return true
				}
				checked++
				found := slices.ContainsFunc(roots, func(root reflect.Type) bool { return leads(root, p.names) })
				for inside := range inner {
					found = found || !p.whole && leads(inside, p.names)
				}
				if !found {
					t.Errorf("%s: no kind has %s", set.Position(n.Pos()), strings.Join(p.names, "."))
				}
				return true
			})
		}
	}
	if checked < 100 {
		t.Errorf("only %d paths are found in the sources", checked)
	}
}

// path is a path of fields in the sources.
type path struct {
	names []string
	whole bool // it begins at an object, and not at a part of one
}

// pathOf returns the path that a call such as fields.TextAt(item.Object, "spec", "host")
// names, as far as its parts are literals.
func pathOf(n ast.Node) path {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) < 2 {
		return path{}
	}
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return path{}
	}
	of, ok := function.X.(*ast.Ident)
	if !ok || of.Name != "fields" || !slices.Contains([]string{"At", "MapAt", "ListAt", "TextAt", "BoolAt", "EditText", "Child"}, function.Sel.Name) {
		return path{}
	}
	var p path
	if object, ok := call.Args[0].(*ast.SelectorExpr); ok {
		p.whole = object.Sel.Name == "Object"
	}
	for _, argument := range call.Args[1:] {
		literal, ok := argument.(*ast.BasicLit)
		if !ok {
			break
		}
		name, err := strconv.Unquote(literal.Value)
		if err != nil {
			break
		}
		p.names = append(p.names, name)
	}
	return p
}

// collect adds a type and all structs in it.
func collect(t reflect.Type, into map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		collect(t.Elem(), into)
	case reflect.Struct:
		if into[t] {
			return
		}
		into[t] = true
		for i := range t.NumField() {
			collect(t.Field(i).Type, into)
		}
	}
}

// leads reports whether a path leads through a type, by the names in JSON.
func leads(t reflect.Type, path []string) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if len(path) == 0 {
		return true
	}
	switch t.Kind() {
	case reflect.Map:
		return leads(t.Elem(), path[1:])
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			if inline := name == "" && (field.Anonymous || strings.Contains(options, "inline")); inline && leads(field.Type, path) {
				return true
			}
			if name == path[0] && leads(field.Type, path[1:]) {
				return true
			}
		}
	}
	return false
}
