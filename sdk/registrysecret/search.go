package registrysecret

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// search is one run of Find.
type search struct {
	Finder
	ctx      context.Context
	location *location.Location
	provider provider
	failed   []failure
}

// failure is a source that gave nothing.
type failure struct {
	source Source
	err    error
}

// run returns the first complete credential, or nil. A location that names a
// credential never falls through to those of the environment: its credential may
// be written by a user without rights over the cluster, and theirs is an
// administrator's.
func (s *search) run() *Found {
	sources := []func() *Found{s.registrySecret, s.ownCredential, s.defaultSecret, s.files, s.environment, s.ambient}
	if namesCredential(s.location) {
		sources = []func() *Found{s.registrySecret, s.ownCredential, s.files}
	}
	for _, try := range sources {
		if found := try(); found != nil {
			s.report(found)
			return found
		}
		if s.ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// report logs where the credential is from. That a credential which the
// location names is unusable is worth a warning; that other sources have
// nothing is normal.
func (s *search) report(found *Found) {
	log := s.Log.With("backupStorageLocation", s.location.Namespace+"/"+s.location.Name)
	for _, f := range s.failed {
		if f.source == LocationCredential && found.Source != LocationCredential {
			log.WarnContext(s.ctx, "The credential of the location cannot be used for images, another one takes its place.", "used", found.From, "error", f.err)
		} else {
			log.DebugContext(s.ctx, "No credential for images in this source.", "source", string(f.source), "reason", f.err)
		}
	}
	log.DebugContext(s.ctx, "Credential for images found.", "source", string(found.Source), "from", found.From)
}

func (s *search) found(source Source, from string, c Credential) *Found {
	return &Found{Location: s.location, Provider: s.provider.name, Source: source, From: from, Credential: c}
}

func (s *search) fail(source Source, err error) {
	s.failed = append(s.failed, failure{source, err})
}

// registrySecret tries the operator's secret. One that the operator owns is a
// copy, made when it last reconciled: the location's own credential wins where
// they differ.
func (s *search) registrySecret() *Found {
	if s.provider.registryKeys == nil {
		return nil
	}
	name := registryName(s.location)
	secret, err := s.secret(name)
	if err != nil {
		s.fail(RegistrySecret, s.registryError(name, err))
		return nil
	}
	c, err := s.provider.fromRegistry(s, secret.Data)
	if err != nil {
		s.fail(RegistrySecret, err)
		return nil
	}
	if slices.Contains(secret.OwnerKinds, "DataProtectionApplication") {
		current, from, err := s.readOwn()
		if err == nil && from != "" && !c.opensLike(current) {
			s.Log.WarnContext(s.ctx, "The registry secret is out of date, the credential of the location takes its place; let the DPA reconcile to bring the secret up to date.",
				"backupStorageLocation", s.location.Namespace+"/"+s.location.Name, "secret", s.location.Namespace+"/"+name, "used", from)
			return s.found(LocationCredential, from, current)
		}
	}
	return s.found(RegistrySecret, "secret "+s.location.Namespace+"/"+name, c)
}

func (s *search) ownCredential() *Found {
	c, from, err := s.readOwn()
	if err != nil {
		s.fail(LocationCredential, err)
		return nil
	}
	if from == "" {
		return nil
	}
	return s.found(LocationCredential, from, c)
}

// readOwn reads the credential that the location names. from is empty when it
// names none.
func (s *search) readOwn() (c Credential, from string, err error) {
	var errs []error
	for _, key := range ownSelectors(s.location) {
		c, from, err := s.secretKey(key.Name, key.Key)
		if err == nil {
			return c, from, nil
		}
		errs = append(errs, err)
	}
	return Credential{}, "", errors.Join(errs...)
}

// ownSelectors returns the secret keys that a location names: spec.credential,
// which counts alone, as for Velero itself. A DPA takes a selector in the config
// too, SECRET/KEY in place of a path.
func ownSelectors(l *location.Location) []location.SecretKey {
	if l.Credential != nil {
		return []location.SecretKey{*l.Credential}
	}
	if name, key, ok := strings.Cut(l.Config[location.CredentialsFileKey], "/"); ok && name != "" && key != "" && !strings.Contains(key, "/") {
		return []location.SecretKey{{Name: name, Key: key}}
	}
	return nil
}

// namesCredential reports whether a location names a credential of its own.
func namesCredential(l *location.Location) bool {
	return l.Credential != nil || l.Config[location.CredentialsFileKey] != ""
}

func (s *search) defaultSecret() *Found {
	c, from, err := s.secretKey(s.provider.defaultSecret, s.provider.defaultKeys...)
	if err != nil {
		if errors.Is(err, SecretMissing) {
			err = s.defaultMissing()
		}
		s.fail(DefaultSecret, err)
		return nil
	}
	return s.found(DefaultSecret, from, c)
}

// files tries credentials files in the pod: the one that the location names, or
// the default ones.
func (s *search) files() *Found {
	var paths []string
	if p := s.location.Config[location.CredentialsFileKey]; path.IsAbs(p) && s.location.Credential == nil {
		paths = append(paths, p)
	}
	for _, key := range ownSelectors(s.location) {
		paths = append(paths, location.CredentialsFile(s.location.Namespace, key.Name, key.Key))
	}
	if !namesCredential(s.location) {
		if p := s.Getenv(s.provider.fileEnv); p != "" {
			paths = append(paths, p)
		}
		paths = append(paths, s.provider.mount)
	}
	for i, p := range paths {
		if slices.Contains(paths[:i], p) {
			continue
		}
		c, err := s.file(p)
		if err == nil {
			c.File = p
			return s.found(Mounted, "file "+p, c)
		}
		s.fail(Mounted, err)
	}
	return nil
}

func (s *search) file(p string) (Credential, error) {
	content, err := s.ReadFile(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Credential{}, fileError(p, errors.New("it does not exist"))
	case err != nil:
		return Credential{}, fileError(p, err)
	}
	c, err := s.provider.fromFile(s, content)
	if err != nil {
		return Credential{}, fmt.Errorf("file %s: %w", p, err)
	}
	return c, nil
}

func (s *search) environment() *Found {
	if c, from, ok := s.provider.fromEnv(s); ok {
		return s.found(Mounted, from, c)
	}
	return nil
}

func (s *search) ambient() *Found {
	if s.Ambient == nil {
		return nil
	}
	if err := s.Ambient(s.ctx, s.location); err != nil {
		s.fail(Ambient, ambientError(err))
		return nil
	}
	return s.found(Ambient, "identity of the pod or node", Credential{})
}

// secret reads a secret in the location's namespace.
func (s *search) secret(name string) (*Secret, error) {
	secret, err := s.Secret(s.ctx, s.location.Namespace, name)
	if err == nil && secret == nil {
		err = errNoObject
	}
	return secret, err
}

// secretKey reads a credentials file out of the first of the keys that a secret
// has.
func (s *search) secretKey(name string, keys ...string) (Credential, string, error) {
	content, from, err := s.content(name, keys...)
	if err != nil {
		return Credential{}, "", err
	}
	c, err := s.provider.fromFile(s, content)
	if err != nil {
		return Credential{}, "", fmt.Errorf("%s: %w", from, err)
	}
	c.Content = credfile.Sensitive(content)
	return c, from, nil
}

// content reads the first of the keys that a secret has.
func (s *search) content(name string, keys ...string) (content []byte, from string, err error) {
	ref := s.location.Namespace + "/" + name
	secret, err := s.secret(name)
	if err != nil {
		return nil, "", s.secretError(ref, err)
	}
	for _, key := range keys {
		if content := secret.Data[key]; len(content) > 0 {
			return content, "secret " + ref + ", key " + key, nil
		}
	}
	return nil, "", keyMissing(ref, keys, secret.Data)
}

// caBundle reads the certificates that the location refers to.
func (s *search) caBundle() (string, error) {
	ref := s.location.CACertRef
	if ref == nil {
		return "", nil
	}
	content, _, err := s.content(ref.Name, ref.Key)
	if err != nil {
		return "", fmt.Errorf("caCertRef of backup storage location %s/%s: %w", s.location.Namespace, s.location.Name, err)
	}
	return string(content), nil
}
