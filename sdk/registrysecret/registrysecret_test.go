package registrysecret_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"reflect"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

const (
	ns       = "openshift-adp"
	rs       = "oadp-b-aws-registry-secret"
	rsAzure  = "oadp-b-azure-registry-secret"
	ini      = "[default]\naws_access_key_id=FILE\naws_secret_access_key=HIDE\n"
	iniRole  = "[default]\nrole_arn=arn\nweb_identity_token_file=/token\n"
	azureEnv = "AZURE_STORAGE_ACCOUNT_ACCESS_KEY=HIDE\nAZURE_TENANT_ID=t\n"
	gcpJSON  = `{"type":"external_account","audience":"a","subject_token_type":"jwt","token_url":"u","credential_source":{"file":"/token"}}`
)

// world is all that a search sees.
type world struct {
	provider   string
	labels     map[string]any
	config     map[string]any
	credential string // secret/key
	caCertRef  string // secret/key
	secrets    map[string]registrysecret.Secret
	forbidden  []string
	broken     []string
	files      map[string]string
	env        map[string]string
	ambient    bool
	log        bytes.Buffer
}

func data(pairs ...string) registrysecret.Secret {
	s := registrysecret.Secret{Data: map[string][]byte{}}
	for i := 0; i < len(pairs); i += 2 {
		s.Data[pairs[i]] = []byte(pairs[i+1])
	}
	return s
}

func ownedByDPA(s registrysecret.Secret) registrysecret.Secret {
	s.OwnerKinds = []string{"DataProtectionApplication"}
	return s
}

func (w *world) object() map[string]any {
	spec := map[string]any{"provider": w.provider, "objectStorage": map[string]any{"bucket": "bucket"}}
	if w.config != nil {
		spec["config"] = w.config
	}
	if name, key, ok := strings.Cut(w.credential, "/"); ok {
		spec["credential"] = map[string]any{"name": name, "key": key}
	}
	if name, key, ok := strings.Cut(w.caCertRef, "/"); ok {
		spec["objectStorage"].(map[string]any)["caCertRef"] = map[string]any{"name": name, "key": key}
	}
	return map[string]any{
		"apiVersion": "velero.io/v1", "kind": "BackupStorageLocation", "spec": spec,
		"metadata": map[string]any{"name": "b", "namespace": ns, "labels": w.labels},
	}
}

func (w *world) finder() registrysecret.Finder {
	resource := schema.GroupResource{Resource: "secrets"}
	f := registrysecret.Finder{
		Location: func(_ context.Context, namespace, name string) (map[string]any, error) {
			if w.provider == "" || namespace != ns || name != "b" {
				return nil, apierrors.NewNotFound(schema.GroupResource{Group: "velero.io", Resource: "backupstoragelocations"}, name)
			}
			return w.object(), nil
		},
		Secret: func(ctx context.Context, namespace, name string) (*registrysecret.Secret, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			for _, f := range w.forbidden {
				if f == name {
					return nil, fmt.Errorf("wrapped: %w", apierrors.NewForbidden(resource, name,
						errors.New(`User "system:serviceaccount:openshift-adp:velero" cannot get resource "secrets" in the namespace "openshift-adp"`)))
				}
			}
			for _, b := range w.broken {
				if b == name {
					return nil, apierrors.NewInternalError(errors.New("etcd is away"))
				}
			}
			s, ok := w.secrets[name]
			if !ok || namespace != ns {
				return nil, apierrors.NewNotFound(resource, name)
			}
			return &s, nil
		},
		ReadFile: func(path string) ([]byte, error) {
			text, ok := w.files[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			if text == "unreadable" {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
			}
			return []byte(text), nil
		},
		Getenv: func(name string) string { return w.env[name] },
		Log:    slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if w.ambient {
		f.Ambient = func(context.Context, *location.Location) error { return nil }
	}
	return f
}

var request = registrysecret.Request{Namespace: ns, Location: "b", Backup: "nightly"}

func (w *world) find() (*registrysecret.Found, error) {
	return w.finder().Find(context.Background(), request)
}

func TestOrderOfSources(t *testing.T) {
	velero := location.CredentialsFile(ns, "mine", "k")
	registry := data("access_key", "RS", "secret_key", "HIDE\n")
	sameAsFile := data("access_key", "FILE", "secret_key", "HIDE")
	for _, c := range []struct {
		what   string
		world  world
		source registrysecret.Source
		from   string
		id     string // access key id, if any
		warns  string
	}{
		{"registry secret", world{secrets: map[string]registrysecret.Secret{rs: registry, "cloud-credentials": data("cloud", ini)}},
			registrysecret.RegistrySecret, rs, "RS", ""},
		{"registry secret of a provider in full", world{provider: "velero.io/aws", secrets: map[string]registrysecret.Secret{rs: registry}},
			registrysecret.RegistrySecret, rs, "RS", ""},
		{"registry secret beside another credential", world{credential: "mine/k", secrets: map[string]registrysecret.Secret{rs: registry, "mine": data("k", ini)}},
			registrysecret.RegistrySecret, rs, "RS", ""},
		{"current copy of the DPA", world{credential: "mine/k", secrets: map[string]registrysecret.Secret{rs: ownedByDPA(sameAsFile), "mine": data("k", ini)}},
			registrysecret.RegistrySecret, rs, "FILE", ""},
		{"stale copy of the DPA", world{credential: "mine/k", secrets: map[string]registrysecret.Secret{rs: ownedByDPA(registry), "mine": data("k", ini)}},
			registrysecret.LocationCredential, "secret openshift-adp/mine, key k", "FILE", "out of date"},
		{"stale copy of the DPA, now a role", world{credential: "mine/k", secrets: map[string]registrysecret.Secret{rs: ownedByDPA(registry), "mine": data("k", iniRole)}},
			registrysecret.LocationCredential, "mine", "", "out of date"},
		{"copy of the DPA, own credential unreadable", world{credential: "mine/k", secrets: map[string]registrysecret.Secret{rs: ownedByDPA(registry)}, forbidden: []string{"mine"}},
			registrysecret.RegistrySecret, rs, "RS", ""},
		{"copy of the DPA, no own credential", world{secrets: map[string]registrysecret.Secret{rs: ownedByDPA(registry), "cloud-credentials": data("cloud", ini)}},
			registrysecret.RegistrySecret, rs, "RS", ""},
		{"empty registry secret of STS", world{credential: "mine/k", secrets: map[string]registrysecret.Secret{rs: data("access_key", "", "secret_key", ""), "mine": data("k", iniRole)}},
			registrysecret.LocationCredential, "mine", "", ""},
		{"spec.credential of a location that nobody manages", world{credential: "mine/k", secrets: map[string]registrysecret.Secret{"mine": data("k", ini)}},
			registrysecret.LocationCredential, "mine", "FILE", ""},
		{"spec.credential of the non-admin controller", world{credential: "mine/k", labels: nonAdmin, secrets: map[string]registrysecret.Secret{"mine": data("k", ini)}},
			registrysecret.LocationCredential, "mine", "FILE", ""},
		{"profile of the config", world{credential: "mine/k", config: map[string]any{"profile": "p"}, secrets: map[string]registrysecret.Secret{"mine": data("k", strings.ReplaceAll(ini, "default", "profile p"))}},
			registrysecret.LocationCredential, "mine", "FILE", ""},
		{"spec.credential before a selector in the config", world{credential: "mine/k", config: map[string]any{"credentialsFile": "other/j"},
			secrets: map[string]registrysecret.Secret{"mine": data("k", ini), "other": data("j", iniRole)}},
			registrysecret.LocationCredential, "secret openshift-adp/mine, key k", "FILE", ""},
		{"selector in the config", world{config: map[string]any{"credentialsFile": "other/j"}, secrets: map[string]registrysecret.Secret{"other": data("j", ini)}},
			registrysecret.LocationCredential, "secret openshift-adp/other, key j", "FILE", ""},
		{"default secret", world{secrets: map[string]registrysecret.Secret{"cloud-credentials": data("cloud", ini)}},
			registrysecret.DefaultSecret, "secret openshift-adp/cloud-credentials, key cloud", "FILE", ""},
		{"default secret of a console installation", world{secrets: map[string]registrysecret.Secret{"cloud-credentials": data("credentials", iniRole)}},
			registrysecret.DefaultSecret, "key credentials", "", ""},
		{"file that the config names", world{config: map[string]any{"credentialsFile": "/tmp/c"}, files: map[string]string{"/tmp/c": ini, "/credentials/cloud": iniRole}},
			registrysecret.Mounted, "file /tmp/c", "FILE", ""},
		{"file that Velero wrote, secrets forbidden", world{credential: "mine/k", forbidden: []string{rs, "mine", "cloud-credentials"}, files: map[string]string{velero: ini}},
			registrysecret.Mounted, "file " + velero, "FILE", "cannot be used"},
		{"file of the environment", world{env: map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "/x"}, files: map[string]string{"/x": ini, "/credentials/cloud": iniRole}},
			registrysecret.Mounted, "file /x", "FILE", ""},
		{"mounted file", world{files: map[string]string{"/credentials/cloud": ini}},
			registrysecret.Mounted, "file /credentials/cloud", "FILE", ""},
		{"keys in the environment", world{env: map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "HIDE"}},
			registrysecret.Mounted, "AWS_ACCESS_KEY_ID", "ENV", ""},
		{"role in the environment", world{env: map[string]string{"AWS_ROLE_ARN": "r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, ambient: true},
			registrysecret.Mounted, "AWS_ROLE_ARN", "", ""},
		{"ambient identity", world{ambient: true}, registrysecret.Ambient, "identity", "", ""},

		{"azure registry secret", world{provider: "azure", secrets: map[string]registrysecret.Secret{rsAzure: data("storage_account_key", "HIDE")}},
			registrysecret.RegistrySecret, rsAzure, "", ""},
		{"azure service principal in the registry secret", world{provider: "azure", secrets: map[string]registrysecret.Secret{
			rsAzure: data("storage_account_key", "", "tenant_id_key", "t", "client_id_key", "c", "client_secret_key", "HIDE")}},
			registrysecret.RegistrySecret, rsAzure, "", ""},
		{"azure account key of the default secret", world{provider: "azure", secrets: map[string]registrysecret.Secret{
			rsAzure: data("storage_account_key", "", "tenant_id_key", "t"), "cloud-credentials-azure": data("cloud", azureEnv)}},
			registrysecret.DefaultSecret, "cloud-credentials-azure", "", ""},
		{"azure entry that the config names", world{provider: "azure", config: map[string]any{"storageAccountKeyEnvVar": "MY"}, secrets: map[string]registrysecret.Secret{
			"cloud-credentials-azure": data("cloud", "MY=HIDE")}},
			registrysecret.DefaultSecret, "cloud-credentials-azure", "", ""},
		{"azure shared access signature that the config names", world{provider: "azure", credential: "mine/k", config: map[string]any{"storageAccountSASTokenEnvVar": "MY"}, secrets: map[string]registrysecret.Secret{
			"mine": data("k", "MY=HIDE")}},
			registrysecret.LocationCredential, "secret openshift-adp/mine, key k", "", ""},
		{"azure managed identity", world{provider: "azure", credential: "mine/k", secrets: map[string]registrysecret.Secret{"mine": data("k", "AZURE_CLIENT_ID=c")}},
			registrysecret.LocationCredential, "secret openshift-adp/mine, key k", "", ""},
		{"azure workload identity of OADP", world{provider: "azure", files: map[string]string{"/var/run/secrets/openshift/serviceaccount/token": "HIDE"},
			secrets: map[string]registrysecret.Secret{"cloud-credentials-azure": data("azurekey", "\nAZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\n")}},
			registrysecret.DefaultSecret, "key azurekey", "", ""},
		{"azure workload identity of the webhook", world{provider: "azure", env: map[string]string{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_FEDERATED_TOKEN_FILE": "/t"}},
			registrysecret.Mounted, "AZURE_TENANT_ID", "", ""},
		{"azure copy of the DPA is current", world{provider: "azure", credential: "mine/k", env: map[string]string{"AZURE_TENANT_ID": "t"}, secrets: map[string]registrysecret.Secret{
			rsAzure: ownedByDPA(data("storage_account_key", "HIDE", "tenant_id_key", "")), "mine": data("k", "AZURE_STORAGE_ACCOUNT_ACCESS_KEY=HIDE")}},
			registrysecret.RegistrySecret, rsAzure, "", ""},

		{"gcp default secret", world{provider: "gcp", secrets: map[string]registrysecret.Secret{"cloud-credentials-gcp": data("service_account.json", gcpJSON)}},
			registrysecret.DefaultSecret, "cloud-credentials-gcp", "", ""},
		{"gcp has no registry secret", world{provider: "gcp", files: map[string]string{"/credentials-gcp/cloud": gcpJSON},
			secrets: map[string]registrysecret.Secret{"oadp-b-gcp-registry-secret": data("access_key", "x", "secret_key", "y")}},
			registrysecret.Mounted, "/credentials-gcp/cloud", "", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := &c.world
			if w.provider == "" {
				w.provider = "aws"
			}
			found, err := w.find()
			if err != nil {
				t.Fatal(err)
			}
			if found.Source != c.source || !strings.Contains(found.From, c.from) {
				t.Errorf("found in %s: %s, want %s: %s", found.Source, found.From, c.source, c.from)
			}
			if a := found.Credential.AWS; c.id != "" && (a == nil || a.AccessKeyID != c.id || a.SecretAccessKey != "HIDE") {
				t.Errorf("credential %+v, want key %s", a, c.id)
			}
			if found.Provider != strings.TrimPrefix(w.provider, "velero.io/") || found.Location.Bucket != "bucket" {
				t.Errorf("provider %s, location %+v", found.Provider, found.Location)
			}
			inSecret := found.Source == registrysecret.LocationCredential || found.Source == registrysecret.DefaultSecret
			if c := found.Credential; (c.Content != "") != inSecret || (c.File != "") != strings.HasPrefix(found.From, "file ") {
				t.Errorf("from %s: file %q, content of %d bytes", found.From, c.File, len(c.Content))
			}
			log := w.log.String()
			if warned := strings.Contains(log, "level=WARN"); warned != (c.warns != "") || !strings.Contains(log, c.warns) {
				t.Errorf("want a warning with %q, log:\n%s", c.warns, log)
			}
			if text := log + fmt.Sprintf("%v %+v %#v", found, found.Credential, found); strings.Contains(text, "HIDE") {
				t.Errorf("a secret in: %s", text)
			}
		})
	}
}

// A location that names a credential which is missing or incomplete gets no other
// one: not the default secret, no file, no identity of the pod.
func TestOwnCredentialAlone(t *testing.T) {
	everything := func(w world) world {
		w.provider = "aws"
		w.files = map[string]string{"/credentials/cloud": ini, "/x": ini}
		w.env = map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "/x", "AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "HIDE"}
		w.ambient = true
		if w.secrets == nil {
			w.secrets = map[string]registrysecret.Secret{}
		}
		w.secrets["cloud-credentials"] = data("cloud", ini)
		return w
	}
	for name, w := range map[string]world{
		"no such secret":         {credential: "mine/k"},
		"no such key":            {credential: "mine/k", secrets: map[string]registrysecret.Secret{"mine": data("j", ini)}},
		"half a credential":      {credential: "mine/k", secrets: map[string]registrysecret.Secret{"mine": data("k", "[default]\naws_access_key_id = A\n")}},
		"forbidden":              {credential: "mine/k", forbidden: []string{"mine"}},
		"another secret named":   {credential: "mine/k", config: map[string]any{"credentialsFile": "cloud-credentials/cloud"}},
		"another file named":     {credential: "mine/k", config: map[string]any{"credentialsFile": "/credentials/cloud"}},
		"selector of nothing":    {config: map[string]any{"credentialsFile": "mine/k"}},
		"file that is not there": {config: map[string]any{"credentialsFile": "/absent"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := everything(w)
			if found, err := w.find(); err == nil {
				t.Errorf("found in %s: %s", found.Source, found.From)
			} else if !errors.Is(err, registrysecret.NoCredential) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

var (
	managed  = map[string]any{location.ComponentLabel: "bsl", location.OADPLabel: "True", location.ManagedByLabel: "oadp-operator"}
	nonAdmin = map[string]any{location.OADPLabel: "True", location.ManagedByLabel: "non-admin-controller", location.RegistryLabel: "True"}
)

// TestCauses has one entry for each cause of a failure.
func TestCauses(t *testing.T) {
	secret := func(name string, s registrysecret.Secret) map[string]registrysecret.Secret {
		return map[string]registrysecret.Secret{name: s}
	}
	for _, c := range []struct {
		what  string
		world world
		code  fault.Code
		parts []string
	}{
		{"unlabelled location", world{}, registrysecret.UnmanagedLocation, []string{
			"secret openshift-adp/oadp-b-aws-registry-secret is missing since backup storage location b is not managed by a DPA",
			"`oc label backupstoragelocation b -n openshift-adp app.kubernetes.io/component=bsl`, then let the DPA reconcile; or set spec.credential",
			"Add only that label"}},
		{"labelled location", world{labels: managed}, registrysecret.NotReconciled, []string{"has not reconciled", "backupImages", "condition Reconciled"}},
		{"non-admin location", world{labels: nonAdmin}, registrysecret.NonAdminLocation, []string{"non-admin-controller", "spec.credential"}},
		{"key absent", world{secrets: secret(rs, data("access_key", "HIDE"))}, registrysecret.RegistryIncomplete, []string{"openshift-adp/" + rs, "no key secret_key"}},
		{"keys empty", world{secrets: secret(rs, data("access_key", "", "secret_key", " \n"))}, registrysecret.RegistryIncomplete, []string{"no value in key access_key, secret_key", "STS"}},
		{"provider in full", world{provider: "velero.io/aws"}, registrysecret.UnmanagedLocation, []string{rs}},
		{"other provider", world{provider: "example.io/disk"}, registrysecret.UnsupportedProvider, []string{`"example.io/disk"`, "supported are aws and azure", "aws or azure", "backupImages", "skip-image-copy"}},
		{"no credential and no default", world{}, registrysecret.DefaultMissing, []string{"location openshift-adp/b has no spec.credential", "openshift-adp/cloud-credentials", "key cloud"}},
		{"credential secret missing", world{credential: "mine/k"}, registrysecret.SecretMissing, []string{"openshift-adp/mine", "only namespace openshift-adp"}},
		{"credential key missing", world{credential: "mine/k", secrets: secret("mine", data("b", "HIDE", "a", "HIDE"))}, registrysecret.KeyMissing, []string{"openshift-adp/mine", "key k", `["a" "b"]`}},
		{"credential key empty", world{credential: "mine/k", secrets: secret("mine", data("k", ""))}, registrysecret.KeyMissing, []string{"no value in key k"}},
		{"default key missing", world{secrets: secret("cloud-credentials", data("x", "HIDE"))}, registrysecret.KeyMissing, []string{"key cloud or credentials", `["x"]`}},
		{"forbidden", world{forbidden: []string{"cloud-credentials"}}, registrysecret.Forbidden, []string{"get secret", "system:serviceaccount:openshift-adp:velero", "in namespace openshift-adp", "/credentials/cloud"}},
		{"API server broken", world{broken: []string{rs}}, registrysecret.SecretUnreadable, []string{"openshift-adp/" + rs, "etcd is away"}},
		{"malformed secret", world{credential: "mine/k", secrets: secret("mine", data("k", "HIDE"))}, credfile.Malformed, []string{"secret openshift-adp/mine, key k", "line 1"}},
		{"malformed file", world{files: map[string]string{"/credentials/cloud": "[default]\nHIDE"}}, credfile.Malformed, []string{"file /credentials/cloud", "line 2"}},
		{"unreadable file", world{files: map[string]string{"/credentials/cloud": "unreadable"}}, registrysecret.FileUnreadable, []string{"/credentials/cloud", "permission denied"}},
		{"malformed JSON", world{provider: "gcp", files: map[string]string{"/credentials-gcp/cloud": "{\nHIDE"}}, credfile.Malformed, []string{"line 2"}},
		{"JSON without a field", world{provider: "gcp", secrets: secret("cloud-credentials-gcp", data("cloud", `{"type":"service_account","private_key":"HIDE"}`))},
			credfile.Incomplete, []string{"client_email"}},
		{"profile missing", world{credential: "mine/k", config: map[string]any{"profile": "p"}, secrets: secret("mine", data("k", ini))},
			credfile.ProfileMissing, []string{`"p"`, "secret openshift-adp/mine, key k", `["default"]`}},
		{"azure with nothing to open the account", world{provider: "azure", secrets: secret("cloud-credentials-azure", data("cloud", "AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=HIDE"))},
			credfile.Incomplete, []string{"account key", "service principal", "workload identity"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := &c.world
			if w.provider == "" {
				w.provider = "aws"
			}
			_, err := w.find()
			if !errors.Is(err, c.code) {
				t.Fatalf("error has not code %s: %v", c.code.ID, err)
			}
			text := err.Error()
			for _, part := range append(c.parts, "openshift-adp/b", "; fix: ") {
				if !strings.Contains(text, part) {
					t.Errorf("%q is missing in: %s", part, text)
				}
			}
			if all := text + w.log.String(); strings.Contains(all, "HIDE") || strings.Contains(all, "\n\n") {
				t.Errorf("a secret in: %s", all)
			}
		})
	}
}

// The certificates of a location come with its credential, or the reason why not.
func TestCABundle(t *testing.T) {
	w := &world{provider: "aws", caCertRef: "trust/ca.crt", secrets: map[string]registrysecret.Secret{"cloud-credentials": data("cloud", ini), "trust": data("ca.crt", "PEM")}}
	found, err := w.find()
	if err != nil || found.CABundle != "PEM" || found.Credential.Content != ini {
		t.Errorf("%+v, %v", found, err)
	}
	w.caCertRef = "trust/other"
	if found, err := w.find(); found != nil || !errors.Is(err, registrysecret.KeyMissing) || !strings.Contains(err.Error(), "caCertRef of backup storage location openshift-adp/b") {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestMissingLocation(t *testing.T) {
	_, err := (&world{}).find()
	if !errors.Is(err, registrysecret.LocationMissing) || !strings.Contains(err.Error(), "backup storage location openshift-adp/b of backup nightly does not exist") {
		t.Error(err)
	}
	w := &world{provider: "aws"}
	f := w.finder()
	f.Location = func(context.Context, string, string) (map[string]any, error) { return nil, errors.New("boom") }
	if _, err := f.Find(context.Background(), request); !errors.Is(err, registrysecret.LocationMissing) || !strings.Contains(err.Error(), "boom") {
		t.Error(err)
	}
}

// TestOneErrorListsEachStep wants every source in one error, in order.
func TestOneErrorListsEachStep(t *testing.T) {
	w := &world{provider: "aws", env: map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "/x"}}
	f := w.finder()
	f.Ambient = func(context.Context, *location.Location) error { return errors.New("no metadata service") }
	_, err := f.Find(context.Background(), request)
	if !errors.Is(err, registrysecret.NoCredential) {
		t.Fatal(err)
	}
	text := err.Error()
	for _, part := range []string{
		"images in backup storage location openshift-adp/b (provider aws) of backup nightly",
		"(1) registry secret: ", rs, "(2) default secret: ", "cloud-credentials",
		"(3) mounted", "/x", "/credentials/cloud", "ambient identity", "no metadata service",
	} {
		at := strings.Index(text, part)
		if at < 0 {
			t.Fatalf("%q is missing or not in order: ...%s", part, text)
		}
		text = text[at+len(part):]
	}
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w := &world{provider: "aws", ambient: true}
	if _, err := w.finder().Find(ctx, request); !errors.Is(err, context.Canceled) || errors.Is(err, registrysecret.NoCredential) {
		t.Error(err)
	}
}

func TestErrorsOfTheBucket(t *testing.T) {
	l := &location.Location{Namespace: ns, Name: "b", Bucket: "bucket", Config: map[string]string{"s3Url": "http://minio"}}
	cause := errors.New("cause")
	for _, c := range []struct {
		err   error
		code  fault.Code
		parts []string
	}{
		{registrysecret.NewRegionError(l, cause), registrysecret.RegionMissing, []string{"config key region", "us-east-1", "openshift-adp/b", "bucket bucket"}},
		{registrysecret.NewBucketError(l, "docker/x", 403, "R1", cause), registrysecret.BucketFailed, []string{"bucket bucket", "key docker/x", "HTTP 403", "request id R1", "openshift-adp/b"}},
	} {
		if !errors.Is(c.err, c.code) || !errors.Is(c.err, cause) {
			t.Error(c.err)
		}
		for _, part := range c.parts {
			if !strings.Contains(c.err.Error(), part) {
				t.Errorf("%q is missing in: %v", part, c.err)
			}
		}
	}
	l.Config = nil
	if text := registrysecret.NewRegionError(l, nil).Error(); strings.Contains(text, "us-east-1;") || !strings.Contains(text, "region of bucket") {
		t.Error(text)
	}
	if text := registrysecret.NewBucketError(l, "k", 0, "", nil).Error(); strings.Contains(text, "HTTP") || strings.Contains(text, "request id") {
		t.Error(text)
	}
}

func TestSearchDoesNotChangeItsInput(t *testing.T) {
	w := &world{provider: "aws", labels: maps.Clone(managed), config: map[string]any{"region": "r"}, secrets: map[string]registrysecret.Secret{rs: data("access_key", " A\n", "secret_key", "B")}}
	object := w.object()
	f := w.finder()
	f.Location = func(context.Context, string, string) (map[string]any, error) { return object, nil }
	if _, err := f.Find(context.Background(), request); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(object, w.object()) || string(w.secrets[rs].Data["access_key"]) != " A\n" {
		t.Error("the input changed")
	}
}

func TestCodesAreCompleteAndDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []fault.Code{
		registrysecret.NoCredential, registrysecret.UnmanagedLocation, registrysecret.NonAdminLocation, registrysecret.NotReconciled, registrysecret.RegistryIncomplete, registrysecret.UnsupportedProvider, registrysecret.DefaultMissing, registrysecret.SecretMissing, registrysecret.KeyMissing, registrysecret.Forbidden, registrysecret.SecretUnreadable, registrysecret.FileUnreadable, registrysecret.NoAmbient, registrysecret.LocationMissing, registrysecret.RegionMissing, registrysecret.BucketFailed,
	} {
		if c.ID == "" || c.Meaning == "" || c.Fix == "" || seen[c.ID] {
			t.Errorf("code %+v has an empty part or comes twice", c)
		}
		seen[c.ID] = true
	}
}
