package imagebuild

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// FromDockerfile returns the image that a Dockerfile describes: a single stage
// FROM scratch, of ARG, LABEL, COPY of single files, USER and ENTRYPOINT in its
// JSON form. Anything else is an error, as it would need a container engine.
// Files are copied from the folder that the Dockerfile is in. Args are the
// build arguments; an argument that is used must be declared, and one that is
// declared must be given or have a default.
func FromDockerfile(file string, args map[string]string) (Image, error) {
	stage, escape, err := parseDockerfile(file)
	if err != nil {
		return Image{}, fmt.Errorf("%s: %w", file, err)
	}
	b := builder{
		folder: filepath.Dir(file),
		args:   args,
		lex:    shell.NewLex(escape),
		known:  map[string]string{},
		image:  Image{Labels: map[string]string{}},
	}
	for _, command := range stage.Commands {
		if err := b.run(command); err != nil {
			return Image{}, fmt.Errorf("%s:%d: %w", file, command.Location()[0].Start.Line, err)
		}
	}
	b.image.Architecture = args["TARGETARCH"]
	return b.image, nil
}

func parseDockerfile(file string) (instructions.Stage, rune, error) {
	text, err := os.Open(file)
	if err != nil {
		return instructions.Stage{}, 0, err
	}
	defer text.Close()
	parsed, err := parser.Parse(text)
	if err != nil {
		return instructions.Stage{}, 0, err
	}
	stages, before, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return instructions.Stage{}, 0, err
	}
	if len(stages) != 1 || stages[0].BaseName != "scratch" || len(before) > 0 {
		return instructions.Stage{}, 0, fmt.Errorf("only a single stage FROM scratch can be built")
	}
	return stages[0], parsed.EscapeToken, nil
}

// builder runs the instructions of a Dockerfile.
type builder struct {
	folder string
	args   map[string]string // as given
	known  map[string]string // as declared so far
	lex    *shell.Lex
	image  Image
}

func (b *builder) run(command instructions.Command) error {
	if expands, ok := command.(instructions.SupportsSingleWordExpansion); ok {
		if err := expands.Expand(b.expand); err != nil {
			return err
		}
	}
	switch c := command.(type) {
	case *instructions.ArgCommand:
		return b.declare(c.Args)
	case *instructions.LabelCommand:
		for _, label := range c.Labels {
			b.image.Labels[label.Key] = label.Value
		}
		return nil
	case *instructions.CopyCommand:
		return b.copy(c)
	case *instructions.UserCommand:
		b.image.User = c.User
		return nil
	case *instructions.EntrypointCommand:
		if c.PrependShell {
			return fmt.Errorf("an entry point that needs a shell; write it as a JSON list")
		}
		b.image.Entrypoint = c.CmdLine
		return nil
	}
	return fmt.Errorf("%s cannot be built without a container engine", strings.ToUpper(command.Name()))
}

func (b *builder) declare(args []instructions.KeyValuePairOptional) error {
	for _, arg := range args {
		value, given := b.args[arg.Key]
		switch {
		case given:
			b.known[arg.Key] = value
		case arg.Value != nil:
			b.known[arg.Key] = *arg.Value
		default:
			return fmt.Errorf("no value for the argument %s", arg.Key)
		}
	}
	return nil
}

func (b *builder) expand(word string) (string, error) {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(b.known)) {
		pairs = append(pairs, name+"="+b.known[name])
	}
	result, err := b.lex.ProcessWordWithMatches(word, shell.EnvsFromSlice(pairs))
	if err == nil && len(result.Unmatched) > 0 {
		err = fmt.Errorf("%q uses arguments that are not declared: %q", word, slices.Sorted(maps.Keys(result.Unmatched)))
	}
	return result.Result, err
}

func (b *builder) copy(c *instructions.CopyCommand) error {
	if c.From != "" || c.Chown != "" || c.Chmod != "" || len(c.ExcludePatterns) > 0 || c.Parents || len(c.SourceContents) > 0 {
		return fmt.Errorf("COPY is possible without flags only")
	}
	for _, source := range c.SourcePaths {
		source = strings.TrimPrefix(source, "/") // of the folder, not of the machine
		if !fs.ValidPath(source) {
			return fmt.Errorf("COPY of %s, which is not a file below the Dockerfile's folder", source)
		}
		target := c.DestPath
		if strings.HasSuffix(target, "/") {
			target = path.Join(target, path.Base(source))
		}
		b.image.Files = append(b.image.Files, File{Path: path.Join("/", target), Source: filepath.Join(b.folder, filepath.FromSlash(source))})
	}
	return nil
}
