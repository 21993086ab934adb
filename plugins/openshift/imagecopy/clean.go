package imagecopy

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/images/layout"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// The command that removes images, and what it is for.
const (
	CleanCommand = "clean-images"
	CleanAbout   = "remove the images that no backup needs; --dry-run lists them"
)

// Clean is the command that does by hand what the deletion of a backup does as
// well.
func (i *Images) Clean(ctx context.Context, in sdk.CommandInput) error {
	request, dryRun, err := cleanImagesArgs(in.Args)
	if err != nil {
		return err
	}
	s, err := i.settings()
	if err != nil {
		return err
	}
	opened, done, err := i.openStorage(request)(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !dryRun {
		if readOnly, err := i.isReadOnly(ctx, opened.location); err != nil || readOnly {
			return cmp.Or(err, isReadOnly(opened.location))
		}
	}
	grace := s.Duration(settings.Grace)
	fmt.Fprintf(in.Stdout, "bucket %s, images stay for %s after the last backup that needs them\n\n", opened.location.Bucket, grace)
	cleaner := layout.NewCleaner(opened, grace, in.Host.Logger)
	planned, err := cleaner.Plan(ctx)
	if err != nil {
		return err
	}
	printPlan(in.Stdout, planned)
	if dryRun {
		return nil
	}
	removed, err := cleaner.Sweep(ctx)
	fmt.Fprintf(in.Stdout, "removed: %d images, %d blobs, %s\n", removed.Images, removed.Blobs, size(removed.Bytes))
	return err
}

func cleanImagesArgs(args []string) (request registrysecret.Request, dryRun bool, err error) {
	flags := flag.NewFlagSet(CleanCommand, flag.ContinueOnError)
	flags.StringVar(&request.Location, "location", "", "`NAME` of the backup storage location with the bucket")
	flags.StringVar(&request.Namespace, "namespace", cmp.Or(os.Getenv("VELERO_NAMESPACE"), "velero"), "`NAMESPACE` of Velero")
	flags.BoolVar(&dryRun, "dry-run", false, "list only; remove nothing")
	// The client configuration finds these among all arguments by itself.
	flags.String("kubeconfig", "", "`FILE` with the client configuration")
	flags.String("kubecontext", "", "`NAME` of a context in it")
	if err := flags.Parse(args); err != nil {
		return request, dryRun, err
	}
	if request.Location == "" || flags.NArg() > 0 {
		return request, dryRun, errors.New("say which location: --location NAME")
	}
	return request, dryRun, nil
}

// printPlan lists the images of the bucket's index, those first that go.
func printPlan(out io.Writer, planned []layout.Planned) {
	var going int
	var frees int64
	for _, p := range planned {
		state := "stays"
		if p.Goes {
			going++
			frees += p.Frees
			state = "goes"
		}
		fmt.Fprintf(out, "%-5s  %s  %9s  %s\n", state, p.Digest, size(p.Size), strings.Join(p.Repositories, ", "))
		if !p.Goes {
			fmt.Fprintf(out, "       %s\n", p.Why)
		}
		for _, b := range slices.SortedFunc(slices.Values(p.Backups), byName) {
			fmt.Fprintf(out, "       %s\n", b)
		}
	}
	if len(planned) > 0 {
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%d images in the index, %d to go, which frees %s\n", len(planned), going, size(frees))
	fmt.Fprintln(out, "Images that are not in the index are not listed and never removed.")
}

func byName(a, b layout.Backup) int { return strings.Compare(a.String(), b.String()) }

// size is a number of bytes for people.
func size(bytes int64) string {
	const unit = 1024
	value, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && value >= unit {
		value, units = value/unit, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, units[0])
}
