package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	"github.com/oadp-plugins/oadp-plugins/test/support/recorder"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// A thousand tags in twenty streams, a tenth of which are pushed and the others
// follow them, cost a request for each stream that is created, and ten more.
func testImageRequests(t *testing.T) {
	const streams, tags, pushed, more = 20, 50, 5, 10
	s := newImageSite(t, unchanged, nil)
	backend := servers.Registry(t)
	s.create(fmt.Sprintf("{apiVersion: config.openshift.io/v1, kind: Image, metadata: {name: cluster}, status: {internalRegistryHostname: %q}}", backend.Host))
	var items []*unstructured.Unstructured
	for i := range streams {
		stream := fmt.Sprintf("%s/app%d", s.namespace, i)
		reference, err := name.ParseReference(backend.Host + "/" + stream)
		s.must(err)
		image := s.image(1)
		s.must(remote.Write(reference, image))
		var spec, status []string
		for tag := range tags {
			if tag >= pushed {
				spec = append(spec, fmt.Sprintf("{name: v%d, from: {kind: ImageStreamTag, name: 'app%d:v%d'}}", tag, i, tag%pushed))
			}
			status = append(status, fmt.Sprintf("{tag: v%d, items: [{image: %[2]q, dockerImageReference: %[3]q}]}",
				tag, s.digest(image), backend.Host+"/"+stream+"@"+s.digest(image)))
		}
		items = append(items, fieldstest.Object(t, fmt.Sprintf("{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: app%d, namespace: %s}, spec: {tags: [%s]}, status: {tags: [%s]}}",
			i, s.namespace, strings.Join(spec, ", "), strings.Join(status, ", "))))
	}
	backup, into := sdk.NewBackup(fieldstest.JSON(t, s.backup("b"))), s.cluster.NewNamespace(t)
	restore := sdk.NewRestore(fieldstest.JSON(t, s.restore("r", "b", fmt.Sprintf(", namespaceMapping: {%s: %s}", s.namespace, into))))
	s.requests.Take()
	for _, item := range items {
		for _, action := range []string{"01-common-backup", "19-is-backup"} {
			_, err := find[sdk.BackupItemAction](t, s.actions, action).Backup(t.Context(), sdk.BackupInput{Item: item, Backup: backup})
			s.must(err)
		}
	}
	if sent := s.requests.Take(); len(sent) > more {
		t.Errorf("the backup took the requests %v", sent)
	}
	for _, item := range items {
		raw, err := item.MarshalJSON()
		s.must(err)
		for _, action := range []string{"01-common-restore", "19-is-restore"} {
			_, err := find[sdk.RestoreItemAction](t, s.actions, action).Restore(t.Context(), sdk.RestoreInput{
				Item: item, FromBackup: sdk.NewDocument(raw), Restore: restore,
			})
			s.must(err)
		}
	}
	if sent := s.requests.Take(); len(sent) > streams+more || len(sent) < streams {
		t.Errorf("the restore took the requests %v", sent)
	}
	if got := len(fields.ListAt(s.stream(into, "app7").Object, "spec", "tags")); got != tags-pushed {
		t.Errorf("%d tags in the specification", got)
	}
}

// What keeps images from the bucket is told once, with every step that was
// tried, and nothing that is secret.
func testImageCredentials(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true") // it takes four seconds to find that there is none
	s := newImageSite(t, unchanged, nil)
	s.push("app:v1", s.image(1))
	s.push("web:v1", s.image(1))
	const (
		noCredential = ", credential: {name: cloud, key: key} => "
		ini          = `"[default]\naws_access_key_id=A\naws_secret_access_key=HIDDEN\n"`
	)
	s.secret("wrong", "key: "+ini)
	s.secret("malformed", `key: "[default]\nHIDDEN\n"`)
	s.secret("oadp-incomplete-aws-registry-secret", `access_key: "", secret_key: ""`)
	for _, c := range []struct {
		location string
		changes  []string
		codes    []fault.Code
		texts    []string
	}{
		{"managed-by-nobody", []string{noCredential},
			[]fault.Code{registrysecret.NoCredential, registrysecret.UnmanagedLocation, registrysecret.DefaultMissing, registrysecret.FileUnreadable, registrysecret.NoAmbient},
			[]string{"app.kubernetes.io/component=bsl", "spec.credential", "oadp-managed-by-nobody-aws-registry-secret", "cloud-credentials", "backup b-managed-by-nobody"}},
		{"labelled", []string{noCredential, "name: labelled => name: labelled, labels: {app.kubernetes.io/component: bsl}"},
			[]fault.Code{registrysecret.NoCredential, registrysecret.NotReconciled}, []string{"Reconciled"}},
		{"incomplete", []string{noCredential},
			[]fault.Code{registrysecret.NoCredential, registrysecret.RegistryIncomplete}, []string{"access_key, secret_key"}},
		{"no-secret", []string{"name: cloud => name: absent"},
			[]fault.Code{registrysecret.NoCredential, registrysecret.SecretMissing}, []string{s.velero + "/absent", "only namespace " + s.velero}},
		{"no-key", []string{"key: key => key: other"},
			[]fault.Code{registrysecret.NoCredential, registrysecret.KeyMissing}, []string{"key other", `["key"]`}},
		{"malformed", []string{"name: cloud => name: malformed"},
			[]fault.Code{registrysecret.NoCredential}, []string{"malformed", "line 2"}},
		{"no-profile", []string{"config: { => config: {profile: other, "},
			[]fault.Code{registrysecret.NoCredential, credfile.ProfileMissing}, []string{"profile", "other", "default"}},
		{"non-admin", []string{noCredential, "name: non-admin => name: non-admin, labels: {openshift.io/oadp: 'True', app.kubernetes.io/managed-by: non-admin-controller}"},
			[]fault.Code{registrysecret.NoCredential, registrysecret.NonAdminLocation}, nil},
		{"provider", []string{"provider: aws => provider: example.io/tape"},
			[]fault.Code{registrysecret.UnsupportedProvider}, []string{"example.io/tape", "skip-image-copy"}},
		{"wrong-region", []string{"region: minio, => "},
			[]fault.Code{s3.CodeWrongRegion}, []string{"set region to minio"}},
		{"refused", []string{"name: cloud => name: wrong"},
			[]fault.Code{awsaccess.CodeUnknownAccessKey}, []string{s.bucket, "docker/registry", "403", "request id", "key key"}},
		{"no-bucket", []string{"bucket: bucket => bucket: no-bucket"}, nil, []string{"no-" + s.bucket}},
		{"absent", nil, []fault.Code{registrysecret.LocationMissing}, []string{s.velero + "/absent", "b-absent"}},
	} {
		t.Run(c.location, func(t *testing.T) {
			s := s.again(t)
			if c.location != "absent" {
				s.location(c.location, c.changes...)
			}
			log := testlog.Default(t)
			backup := s.backupAt(c.location, "b-"+c.location)
			_, err := s.backUpStream("app", backup)
			if err == nil {
				t.Fatal("no error")
			}
			for _, code := range c.codes {
				if !errors.Is(err, code) {
					t.Errorf("there is no %s in %v", code.ID, err)
				}
			}
			for _, text := range append(c.texts, "ImageStream "+s.namespace+"/app") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in %v", text, err)
				}
			}
			s.requests.Take()
			_, second := s.backUpStream("web", backup)
			if !errors.Is(second, imagecopy.CodeImagesUnavailable) || !strings.Contains(second.Error(), "ImageStream "+s.namespace+"/app") || len(s.requests.Take()) != 0 {
				t.Errorf("the next stream: %v", second)
			}
			for _, told := range []string{err.Error(), second.Error(), log.String()} {
				if strings.Contains(told, "HIDDEN") || strings.Contains(told, s.minio.SecretKey) || strings.Contains(told, s.cluster.Config.BearerToken) || strings.Contains(told, "panic") {
					t.Errorf("this tells too much: %s", told)
				}
			}
		})
	}
	t.Run("a location of nobody with a credential", func(t *testing.T) {
		s := s.again(t)
		log := testlog.Default(t)
		_, err := s.backUpStream("app", s.backup("b-own"))
		s.must(err)
		if !strings.Contains(log.String(), "secret "+s.velero+"/cloud, key key") || strings.Contains(log.String(), "level=WARN") {
			t.Errorf("the log says\n%s", log.String())
		}
	})
	t.Run("provider in full", func(t *testing.T) {
		s := s.again(t)
		s.location("full", "provider: aws => provider: velero.io/aws")
		_, err := s.backUpStream("app", s.backupAt("full", "b-full"))
		s.must(err)
	})
	t.Run("default secret", func(t *testing.T) {
		s := s.again(t)
		s.location("with-default", noCredential)
		s.secret("cloud-credentials", fmt.Sprintf("cloud: %q", s.credential()))
		_, err := s.backUpStream("app", s.backupAt("with-default", "b-default"))
		s.must(err)
	})
	t.Run("forbidden", func(t *testing.T) {
		s := s.as(t, "reader")
		s.create(fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader, namespace: %[1]s}, rules: [{apiGroups: [velero.io], resources: ["*"], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader, namespace: %[1]s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: reader}]}`, s.velero))
		_, err := s.backUpStream("app", s.backup("b-forbidden"))
		if !errors.Is(err, registrysecret.Forbidden) || strings.Contains(err.Error(), kube.CodeForbidden.ID) {
			t.Errorf("%v", err)
		}
		for _, text := range []string{`"reader" cannot get resource "secrets"`, s.velero, "/tmp/credentials/"} {
			if !strings.Contains(fmt.Sprint(err), text) {
				t.Errorf("%q is not in %v", text, err)
			}
		}
	})
	t.Run("restore from nowhere", func(t *testing.T) {
		s := s.again(t)
		item := s.stream(s.namespace, "app")
		fields.Annotate(item, api.MigrationRegistryKey, imagecopy.Bucket)
		_, err := s.restoreStream(item, s.registry, s.restore("r", "gone", ""))
		if !errors.Is(err, imagecopy.CodeBackupUnreadable) || !strings.Contains(err.Error(), s.velero+"/gone") {
			t.Errorf("%v", err)
		}
	})
}

// again returns the site with actions that have looked up nothing.
func (s imageSite) again(t *testing.T) *imageSite { return s.as(t, "") }

// as returns the site with actions that are another user's.
func (s imageSite) as(t *testing.T, user string) *imageSite {
	t.Helper()
	s.site = newSite(t, func(c *rest.Config) { c.Impersonate.UserName = user })
	s.set(nil)
	return &s
}

// What keeps the plugin from the registry is told as well.
func testRegistryAccess(t *testing.T) {
	s := newImageSite(t, unchanged, nil)
	s.push("app:v1", s.image(1))
	t.Run("no token", func(t *testing.T) {
		other := s.again(t)
		other.site = newSite(t, func(c *rest.Config) {
			token := c.BearerToken // comes in another way, as that of a client certificate would
			c.BearerToken = ""
			c.Wrap(func(next http.RoundTripper) http.RoundTripper {
				return recorder.RoundTripper(func(r *http.Request) (*http.Response, error) {
					r = r.Clone(r.Context())
					r.Header.Set("Authorization", "Bearer "+token)
					return next.RoundTrip(r)
				})
			})
		})
		other.set(nil)
		if _, err := other.backUpStream("app", s.backup("b-token")); !errors.Is(err, kube.CodeNoToken) {
			t.Errorf("%v", err)
		}
	})
	t.Run("authority not known", func(t *testing.T) {
		other := s.again(t)
		other.registry = s.newRegistry(servers.Registry(t)) // its authority is not published
		item := s.stream(s.namespace, "app")
		rehost := func(text string) string { return strings.ReplaceAll(text, s.registry.Host, other.registry.Host) }
		item = fieldstest.Object(t, rehost(fieldstest.YAML(t, item)))
		backup := sdk.NewBackup(fieldstest.JSON(t, s.backup("b-authority")))
		_, err := find[sdk.BackupItemAction](t, other.actions, "19-is-backup").Backup(t.Context(), sdk.BackupInput{Item: item.DeepCopy(), Backup: backup})
		if !errors.Is(err, endpoint.CodeUntrusted) || !strings.Contains(fmt.Sprint(err), "OADP_REGISTRY_INSECURE") {
			t.Errorf("%v", err)
		}
		insecure := s.again(t)
		insecure.set(map[string]string{settings.Insecure: "true"})
		_, err = find[sdk.BackupItemAction](t, insecure.actions, "19-is-backup").Backup(t.Context(), sdk.BackupInput{Item: item.DeepCopy(), Backup: backup})
		s.must(err)
	})
	t.Run("no registry to restore to", func(t *testing.T) {
		item, err := s.backUpStream("app", s.backup("b-host"))
		s.must(err)
		raw, err := item.MarshalJSON()
		s.must(err)
		_, err = find[sdk.RestoreItemAction](t, s.actions, "19-is-restore").Restore(t.Context(), sdk.RestoreInput{
			Item: item, FromBackup: sdk.NewDocument(raw), Restore: sdk.NewRestore(fieldstest.JSON(t, s.restore("r-host", "b-host", ""))),
		})
		if !errors.Is(err, imagecopy.CodeNoRegistry) {
			t.Errorf("%v", err)
		}
	})
}
