package main

import (
	"context"
	"fmt"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

// reading is one value of everything that is measured.
type reading struct {
	took time.Duration

	// The rest is for the plugin only.

	peak                  int64 // resident memory, bytes
	blobBytes             int64 // from or to the registry
	registry, bucket, api int64 // requests
}

// observe runs work with a plugin process of its own, as Velero starts one for a
// backup or a restore, and measures it.
func (s *site) observe(ctx context.Context, registry *internalRegistry, work func(context.Context, *host.Plugin) error) (reading, error) {
	var r reading
	registry.ResetCounts()
	bucketBefore, err := s.bucketRequests(ctx)
	if err != nil {
		return r, err
	}
	apiBefore := s.api.requests.Load()
	begin := time.Now()
	p, err := host.Start(host.Launch{
		Path: s.plugin,
		Args: []string{"--log-level=info", "--features="},
		Env: []string{
			"HOME=" + s.servers.Dir(), "TMPDIR=" + s.servers.Dir(), "KUBECONFIG=" + s.api.kubeconfig,
			"VELERO_NAMESPACE=" + stack.VeleroNamespace, "OPENSHIFT_IMAGESTREAM_BACKUP=true",
		},
	})
	if err != nil {
		return r, err
	}
	defer p.Stop()
	if err := work(ctx, p); err != nil {
		return r, fmt.Errorf("%w\n%s", err, p.Stderr())
	}
	r.took = time.Since(begin)
	usage, err := p.Usage()
	if err != nil {
		return r, err
	}
	r.peak = usage.Peak
	counts := registry.Counts()
	r.blobBytes = counts.Sent + counts.Received
	for _, n := range counts.Requests {
		r.registry += int64(n)
	}
	r.api = s.api.requests.Load() - apiBefore
	bucketAfter, err := s.bucketRequests(ctx)
	r.bucket = bucketAfter - bucketBefore
	return r, err
}
