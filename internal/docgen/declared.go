package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// declared returns the codes that the sources in a folder declare, each as a
// literal of type fault.Code. It is for plugins, which nothing can import.
func declared(dir string) ([]fault.Code, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var codes []fault.Code
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || !isCode(literal.Type) || len(literal.Elts) == 0 {
				return true
			}
			code, codeErr := codeOf(literal)
			if codeErr != nil {
				err = fmt.Errorf("%s: %w", name, codeErr)
			}
			codes = append(codes, code)
			return false
		})
		if err != nil {
			return nil, err
		}
	}
	return codes, nil
}

func isCode(t ast.Expr) bool {
	s, ok := t.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Code" {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "fault"
}

func codeOf(literal *ast.CompositeLit) (fault.Code, error) {
	var code fault.Code
	fields := map[string]*string{"ID": &code.ID, "Meaning": &code.Meaning, "Fix": &code.Fix}
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			return code, fmt.Errorf("a code without the names of its fields")
		}
		name, ok := pair.Key.(*ast.Ident)
		if !ok || fields[name.Name] == nil {
			return code, fmt.Errorf("a code with an unknown field")
		}
		text, err := textOf(pair.Value)
		if err != nil {
			return code, fmt.Errorf("field %s of a code: %w", name.Name, err)
		}
		*fields[name.Name] = text
	}
	return code, nil
}

// textOf returns the value of a string literal or of a sum of them.
func textOf(e ast.Expr) (string, error) {
	switch e := e.(type) {
	case *ast.BasicLit:
		return strconv.Unquote(e.Value)
	case *ast.BinaryExpr:
		left, err := textOf(e.X)
		if err != nil {
			return "", err
		}
		right, err := textOf(e.Y)
		return left + right, err
	}
	return "", fmt.Errorf("expected a literal")
}
