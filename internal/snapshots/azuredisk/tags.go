package azuredisk

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of Azure for the tags of a resource; those of a tag are in characters.
const (
	maxTags     = 50
	maxTagName  = 512
	maxTagValue = 256
)

// Tags of a snapshot that hold what Velero's interface has no room for. Disks do
// not get them.
const (
	ownTags      = "velero.io-disk-"
	mbpsTag      = ownTags + "mbps"   // MB/s of an Ultra or Premium SSD v2 disk
	sectorTag    = ownTags + "sector" // logical sector size in bytes
	maxSharesTag = ownTags + "max-shares"
	tierTag      = ownTags + "tier"     // performance tier, such as P40
	burstingTag  = ownTags + "bursting" // true for bursting on demand
)

// reservedPrefixes begin the names of Azure's own tags.
var reservedPrefixes = []string{"microsoft", "azure", "windows"}

// checkTag returns an error for a tag that Azure refuses.
func checkTag(name, value string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "":
		return errors.New("expected tag names that are not empty")
	case strings.ContainsAny(name, `<>%&\?/`) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf(`expected tag names without < > %% & \ ? / and control characters, got %q`, name)
	case slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(lower, p) }):
		return fmt.Errorf("expected tag names without the reserved prefixes microsoft, azure and windows, got %q", name)
	case utf8.RuneCountInString(name) > maxTagName:
		return fmt.Errorf("expected tag names of at most %d characters", maxTagName)
	case utf8.RuneCountInString(value) > maxTagValue:
		return fmt.Errorf("expected tag values of at most %d characters, got %d for the name %q", maxTagValue, utf8.RuneCountInString(value), name)
	}
	return nil
}

// snapshotTags returns the tags of a snapshot of a disk: what the disk has, what
// Velero wants, and what the configuration says; the last counts.
func (c *compute) snapshotTags(velero map[string]string, disk *resource) map[string]string {
	t := newTagSet(c.log)
	for name, value := range disk.Tags {
		if !strings.HasPrefix(name, ownTags) {
			t.set(name, value, fromDisk)
		}
	}
	for name, value := range velero {
		t.set(strings.ReplaceAll(name, "/", "-"), value, fromVelero)
	}
	for name, value := range c.tags {
		t.set(name, value, fromConfig)
	}
	for name, value := range factsOf(disk) {
		t.set(name, value, fromVelero)
	}
	return t.limited()
}

// diskTags returns the tags of a disk that is made of a snapshot. Those of the
// configuration count, since a policy may want them that is younger than the
// snapshot.
func (c *compute) diskTags(snapshot map[string]string) map[string]string {
	t := newTagSet(c.log)
	for name, value := range snapshot {
		if !strings.HasPrefix(name, ownTags) {
			t.set(name, value, fromDisk)
		}
	}
	for name, value := range c.tags {
		t.set(name, value, fromConfig)
	}
	return t.limited()
}

// Sources of tags, from the least important on.
const (
	fromDisk = iota
	fromVelero
	fromConfig
	veleroOwn // velero.io-backup and velero.io-pv
)

// tagSet collects tags, whose names differ by more than case.
type tagSet struct {
	log    *slog.Logger
	tags   map[string]string
	names  map[string]string // by lower case
	source map[string]int
}

func newTagSet(log *slog.Logger) *tagSet {
	return &tagSet{log, map[string]string{}, map[string]string{}, map[string]int{}}
}

// set adds a tag in place of one with that name. One that Azure refuses is left
// out, with a warning, as a backup matters more.
func (t *tagSet) set(name, value string, source int) {
	if err := checkTag(name, value); err != nil {
		t.log.Warn("a tag is left out", "tag", name, "error", err.Error())
		return
	}
	if strings.HasPrefix(name, "velero.io-") {
		source = veleroOwn
	}
	lower := strings.ToLower(name)
	if old, ok := t.names[lower]; ok {
		delete(t.tags, old)
		delete(t.source, old)
	}
	t.names[lower], t.tags[name], t.source[name] = name, value, source
}

// limited returns as many tags as Azure takes, the most important ones, and nil
// for none.
func (t *tagSet) limited() map[string]string {
	if len(t.tags) == 0 {
		return nil
	}
	if len(t.tags) <= maxTags {
		return t.tags
	}
	names := slices.SortedFunc(maps.Keys(t.tags), func(a, b string) int {
		if d := t.source[b] - t.source[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	t.log.Warn("tags are left out, since Azure takes at most 50", "tags", names[maxTags:])
	for _, name := range names[maxTags:] {
		delete(t.tags, name)
	}
	return t.tags
}

// facts are what a restore has to know of a disk.
type facts struct {
	mbps      int64
	sector    int
	maxShares int
	tier      string
	bursting  *bool
}

// factsOf returns the tags with what a restore has to know.
func factsOf(disk *resource) map[string]string {
	tags := map[string]string{}
	p := disk.Properties
	if hasPerformance(disk.skuName()) {
		if p.MBps > 0 {
			tags[mbpsTag] = decimal(p.MBps)
		}
		if p.CreationData.LogicalSectorSize > 0 {
			tags[sectorTag] = strconv.Itoa(p.CreationData.LogicalSectorSize)
		}
	}
	if p.MaxShares > 1 {
		tags[maxSharesTag] = strconv.Itoa(p.MaxShares)
	}
	if p.Tier != "" {
		tags[tierTag] = p.Tier
	}
	if p.Bursting != nil && *p.Bursting {
		tags[burstingTag] = "true"
	}
	return tags
}

// factsIn reads them. What makes no sense is left to Azure.
func factsIn(tags map[string]string) facts {
	var f facts
	if n, err := strconv.ParseInt(tags[mbpsTag], 10, 64); err == nil && n > 0 {
		f.mbps = n
	}
	if n, err := strconv.Atoi(tags[sectorTag]); err == nil && (n == 512 || n == 4096) {
		f.sector = n
	}
	if n, err := strconv.Atoi(tags[maxSharesTag]); err == nil && n > 1 {
		f.maxShares = n
	}
	f.tier = tags[tierTag]
	if tags[burstingTag] == "true" {
		f.bursting = new(true)
	}
	return f
}
