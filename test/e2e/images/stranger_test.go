package images

import (
	"context"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// stranger is a stock registry with its storage in a bucket of ours.
type stranger struct {
	*stack.Registry
	pushed map[string][]artifact // by repository
}

func (w *world) newStranger(ctx context.Context, t *testing.T, bucket string) *stranger {
	t.Helper()
	registry, err := servers.StartRegistry(ctx, stack.RegistryOptions{
		Bucket: &stack.RegistryBucket{MinIO: w.store, Endpoint: w.store.TLSEndpoint, Name: bucket},
	})
	must(t, err)
	t.Cleanup(registry.Stop)
	return &stranger{registry, map[string][]artifact{}}
}

func (s *stranger) push(ctx context.Context, t *testing.T, repository, tag string, a artifact) {
	t.Helper()
	must(t, push(s.Host+"/"+repository, tag, a, []remote.Option{remote.WithContext(ctx)}))
	s.pushed[repository] = append(s.pushed[repository], a)
}

// mustServe pulls artifacts of a repository by their digests.
func (s *stranger) mustServe(ctx context.Context, t *testing.T, repository string, images ...artifact) {
	t.Helper()
	from, err := name.NewRepository(s.Host + "/" + repository)
	must(t, err)
	for _, a := range images {
		if err := compare(from, a, []remote.Option{remote.WithContext(ctx)}); err != nil {
			t.Errorf("stock registry: %v", err)
		}
	}
}

// mustServeAll pulls all that was pushed.
func (s *stranger) mustServeAll(ctx context.Context, t *testing.T) {
	t.Helper()
	for repository, images := range sorted(s.pushed) {
		s.mustServe(ctx, t, repository, images...)
	}
}
