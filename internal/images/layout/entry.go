package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Backup is what images are kept for.
type Backup struct {
	Cluster   string `json:"cluster"`   // its id
	Namespace string `json:"namespace"` // of Velero
	Location  string `json:"location"`  // name of the backup storage location
	Prefix    string `json:"prefix"`    // of the location
	Name      string `json:"backup"`
	UID       string `json:"uid"`
}

// Owner is the backup's part of the keys of its entries.
func (b Backup) Owner() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{b.Cluster, b.Namespace, b.Location, b.UID}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// String names the backup for people.
func (b Backup) String() string {
	return fmt.Sprintf("backup %s/%s of location %s in cluster %s", b.Namespace, b.Name, b.Location, b.Cluster)
}

// isOf reports whether b is the backup that other stands for in the same bucket:
// the one of that name below that prefix. Velero keeps no two of them, while the
// cluster, the name of the location and the UID differ where a backup was synced
// to another cluster.
func (b Backup) isOf(other Backup) bool { return b.recordKey() == other.recordKey() }

// recordKey is that of the object which Velero writes when the backup has ended
// and removes when it deletes the backup.
func (b Backup) recordKey() string { return b.folder() + b.Name + "/velero-backup.json" }

// folder is where Velero keeps the backups of the location.
func (b Backup) folder() string {
	if prefix := strings.Trim(b.Prefix, "/"); prefix != "" {
		return prefix + "/backups/"
	}
	return "backups/"
}

// entry says that a backup needs an image. What is pending has the last entry of
// the image as its content.
type entry struct {
	Backup
	Repositories []string        `json:"repositories"` // that the image is or becomes part of
	Contents     []digest.Digest `json:"contents"`     // of the image, its own manifest included
}

// maxEntrySize is above that of every entry, in bytes.
const maxEntrySize = 4 << 20

func (e *entry) encode() []byte {
	content, err := json.Marshal(e)
	if err != nil {
		panic(err) // of strings only
	}
	return content
}

// decodeEntry reads an entry of an image. What it names may become part of keys.
func decodeEntry(content []byte, image digest.Digest) (*entry, error) {
	e := &entry{}
	if err := json.Unmarshal(content, e); err != nil {
		return nil, err
	}
	for _, d := range e.Contents {
		if err := d.Validate(); err != nil {
			return nil, fmt.Errorf("digest %q: %w", d, err)
		}
	}
	if !slices.Contains(e.Contents, image) {
		return nil, fmt.Errorf("it does not name %s itself", image)
	}
	names, err := repositoryNames(e.Repositories)
	if err != nil {
		return nil, err
	}
	e.Repositories = names
	return e, nil
}

// covers reports whether the entry says all that other says.
func (e *entry) covers(other *entry) bool {
	return subset(other.Repositories, e.Repositories) && subset(other.Contents, e.Contents)
}

// with returns an entry that says what both say.
func (e *entry) with(other *entry) *entry {
	return &entry{
		Backup:       e.Backup,
		Repositories: union(e.Repositories, other.Repositories),
		Contents:     union(e.Contents, other.Contents),
	}
}

func subset[T comparable](some, all []T) bool { return len(union(all, some)) == len(union(all, nil)) }

// union returns each value once, in the order of its first appearance.
func union[T comparable](some, more []T) []T {
	seen := make(map[T]bool, len(some)+len(more))
	var all []T
	for _, values := range [][]T{some, more} {
		for _, v := range values {
			if !seen[v] {
				seen[v] = true
				all = append(all, v)
			}
		}
	}
	return all
}
