// Abigen writes the Go messages of the plugin ABI from the .proto files in
// proto/. It needs no protoc: the compiler and the generator are libraries.
//
//	go run ./internal/abigen [-check]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	gengo "google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/oadp-plugins/oadp-plugins/internal/generated"
)

// registered is the folder under which the files are known to the protobuf
// registry. It keeps them apart from files of the same name that a program may
// link, such as Velero's own.
const registered = "oadpplugins/"

func main() {
	check := flag.Bool("check", false, "fail when a generated file is not up to date; write nothing")
	flag.Parse()
	if err := run("proto", filepath.Join("sdk", "internal", "abi"), *check); err != nil {
		fmt.Fprintln(os.Stderr, "abigen:", err)
		os.Exit(1)
	}
}

func run(source, target string, check bool) error {
	names, err := filepath.Glob(filepath.Join(source, "*.proto"))
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("paths=source_relative")}
	sources := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file := registered + filepath.Base(name)
		sources[file] = string(text)
		request.FileToGenerate = append(request.FileToGenerate, file)
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			Accessor: protocompile.SourceAccessorFromMap(sources),
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), request.FileToGenerate...)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	add := func(file *descriptorpb.FileDescriptorProto) {
		if !known[file.GetName()] {
			known[file.GetName()] = true
			request.ProtoFile = append(request.ProtoFile, file)
		}
	}
	for _, file := range files {
		for i := range file.Imports().Len() {
			add(protodesc.ToFileDescriptorProto(file.Imports().Get(i)))
		}
		add(protodesc.ToFileDescriptorProto(file))
	}

	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return err
	}
	for _, file := range plugin.Files {
		if file.Generate {
			gengo.GenerateFile(plugin, file)
		}
	}
	for _, file := range plugin.Response().GetFile() {
		name := filepath.Join(target, filepath.Base(file.GetName()))
		if err := generated.Write(name, []byte(file.GetContent()), check); err != nil {
			return err
		}
	}
	return nil
}
