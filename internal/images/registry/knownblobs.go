package registry

import (
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// blobRepositories tell which repositories are known to have a blob. The zero
// value is ready for use.
type blobRepositories struct {
	mu           sync.Mutex
	repositories map[digest.Digest][]string
}

func (p *blobRepositories) add(repository string, d digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.repositories == nil {
		p.repositories = map[digest.Digest][]string{}
	}
	if !slices.Contains(p.repositories[d], repository) {
		p.repositories[d] = append(p.repositories[d], repository)
	}
}

func (p *blobRepositories) has(repository string, d digest.Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.repositories[d], repository)
}

// other returns another repository that has the blob, or "". It is the same one
// for everybody, as a token names each repository that it is for.
func (p *blobRepositories) other(repository string, d digest.Digest) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.repositories[d] {
		if r != repository {
			return r
		}
	}
	return ""
}

// forget drops what is known of a repository that turned out to lack a blob.
func (p *blobRepositories) forget(repository string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for d, repositories := range p.repositories {
		p.repositories[d] = slices.DeleteFunc(repositories, func(r string) bool { return r == repository })
	}
}
