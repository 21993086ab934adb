package compat

import (
	"log/slog"
	"maps"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/buckettest"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/open"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// The bucket in which plugins keep images passes the suite of all stores on every
// server.
func TestBucket(t *testing.T) {
	for _, p := range providers {
		for _, server := range p.servers {
			t.Run(server.name, func(t *testing.T) {
				at := server.start(t)
				buckettest.Run(t, func(t *testing.T) buckettest.Harness { return harness{newScene(t, p, at), t} })
			})
		}
	}
}

// harness is a scene for the suite of all stores.
type harness struct {
	*scene
	t *testing.T
}

func (h harness) Bucket() objectstore.Bucket          { return h.open(h.name) }
func (h harness) Lost() objectstore.Bucket            { return h.open("compat-no-such-bucket") }
func (h harness) PartSize() int                       { return h.provider.partSize }
func (h harness) Independent() buckettest.Independent { return h.client }

// open opens a bucket as plugins do that keep images in it.
func (h harness) open(name string) objectstore.Bucket {
	h.t.Helper()
	config := maps.Clone(h.config)
	for _, key := range []string{"bucket", "prefix", "caCert", "credentialsFile"} {
		delete(config, key) // as Velero adds them
	}
	opened, err := open.Bucket(h.ctx, &registrysecret.Found{
		Provider: h.provider.name, Source: registrysecret.LocationCredential, From: "the test",
		Location: &location.Location{
			Kind: location.BackupStorage, Namespace: "openshift-adp", Name: "default", Provider: h.provider.name,
			Bucket: name, CACert: h.config["caCert"], Config: config,
		},
		Credential: registrysecret.Credential{File: h.config["credentialsFile"]},
	}, slog.New(slog.NewTextHandler(h.log, nil)))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = opened.Close() })
	return opened
}
