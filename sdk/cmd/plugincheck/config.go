package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// config is the configuration file. Paths in it are relative to the file.
type config struct {
	Env        map[string]string `json:"env"`
	InheritEnv []string          `json:"inheritEnv"`

	ObjectStore       *storeConfig       `json:"objectStore"`
	VolumeSnapshotter *snapshotterConfig `json:"volumeSnapshotter"`

	Items      map[string][]json.RawMessage `json:"items"`
	Operations []operation                  `json:"operations"`

	StallLimit   string            `json:"stallLimit"`
	BreakBackend *breaker          `json:"breakBackend"`
	Skip         map[string]string `json:"skip"`
}

type storeConfig struct {
	Name            string            `json:"name"`
	Bucket          string            `json:"bucket"`
	Config          map[string]string `json:"config"`
	AlternateConfig map[string]string `json:"alternateConfig"`
	CredentialsFile string            `json:"credentialsFile"`
	CACertFile      string            `json:"caCertFile"`
	LargeObjectMiB  int64             `json:"largeObjectMiB"`
}

type snapshotterConfig struct {
	Name             string            `json:"name"`
	Config           map[string]string `json:"config"`
	AlternateConfig  map[string]string `json:"alternateConfig"`
	CredentialsFile  string            `json:"credentialsFile"`
	PersistentVolume json.RawMessage   `json:"persistentVolume"`
	VolumeID         string            `json:"volumeID"`
	Zone             string            `json:"zone"`
	AbsentSnapshotID string            `json:"absentSnapshotID"`
	DeleteVolume     []string          `json:"deleteVolume"`
}

type operation struct {
	Action string          `json:"action"`
	Kind   string          `json:"kind"`
	Item   json.RawMessage `json:"item"`
}

// breaker runs programs that break the backend and mend it.
type breaker struct {
	Begin []string `json:"begin"`
	End   []string `json:"end"`

	err error // of the programs, joined
}

// keys that Velero adds to the configuration of a location.
const (
	credentialsFileKey = "credentialsFile"
	caCertKey          = "caCert"
)

// readConfig returns the plugin that a file describes, still without its path,
// and what breaks its backend, which may be nil.
func readConfig(file string) (plugintest.Plugin, *breaker, error) {
	c, err := parseConfig(file)
	if err == nil {
		var p plugintest.Plugin
		if p, err = c.plugin(folder(filepath.Dir(file))); err == nil {
			return p, c.BreakBackend, nil
		}
	}
	return plugintest.Plugin{}, nil, fmt.Errorf("%s: %w", file, err)
}

func parseConfig(file string) (config, error) {
	var c config
	text, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return c, err
	}
	unknown, err := kjson.UnmarshalStrict(asJSON, &c)
	return c, errors.Join(append(unknown, err)...)
}

func (c config) plugin(dir folder) (plugintest.Plugin, error) {
	p := plugintest.Plugin{Env: environment(c.Env, c.InheritEnv), Skip: c.Skip}
	var errs []error
	fail := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	var err error
	if c.ObjectStore != nil {
		p.Store, err = c.ObjectStore.store(dir)
		fail("objectStore", err)
	}
	if c.VolumeSnapshotter != nil {
		p.Snapshotter, err = c.VolumeSnapshotter.snapshotter(dir)
		fail("volumeSnapshotter", err)
	}
	if c.StallLimit != "" {
		p.StallLimit, err = time.ParseDuration(c.StallLimit)
		fail("stallLimit", err)
	}
	p.Items, err = dir.items(c.Items)
	fail("items", err)
	p.Operations, err = dir.operations(c.Operations)
	fail("operations", err)
	if b := c.BreakBackend; b != nil {
		p.BreakBackend = b.start
		if len(b.Begin) == 0 || len(b.End) == 0 {
			fail("breakBackend", errors.New("it needs the commands begin and end"))
		}
	}
	return p, errors.Join(errs...)
}

func (c storeConfig) store(dir folder) (*plugintest.StoreConfig, error) {
	if c.Bucket == "" {
		return nil, errors.New("bucket is missing")
	}
	added, client := dir.credentials(c.CredentialsFile), http.DefaultClient
	if c.CACertFile != "" {
		pem, err := os.ReadFile(dir.path(c.CACertFile))
		if err != nil {
			return nil, fmt.Errorf("caCertFile: %w", err)
		}
		added[caCertKey] = string(pem)
		if client, err = trusting(pem); err != nil {
			return nil, fmt.Errorf("caCertFile: %w", err)
		}
	}
	return &plugintest.StoreConfig{
		Name: c.Name, Bucket: c.Bucket, LargeObject: c.LargeObjectMiB << 20, HTTPClient: client,
		Config: with(c.Config, added), Alternate: alternate(c.AlternateConfig, added),
	}, nil
}

func (c snapshotterConfig) snapshotter(dir folder) (*plugintest.SnapshotterConfig, error) {
	added := dir.credentials(c.CredentialsFile)
	s := &plugintest.SnapshotterConfig{
		Name: c.Name, VolumeID: c.VolumeID, Zone: c.Zone, AbsentSnapshotID: c.AbsentSnapshotID,
		Config: with(c.Config, added), Alternate: alternate(c.AlternateConfig, added),
	}
	if len(c.DeleteVolume) > 0 {
		s.DeleteVolume = func(ctx context.Context, id string) error {
			return runProgram(ctx, append(slices.Clone(c.DeleteVolume), id))
		}
	}
	if c.PersistentVolume == nil {
		return s, nil
	}
	var err error
	if s.PersistentVolume, err = dir.object(c.PersistentVolume); err != nil {
		return nil, fmt.Errorf("persistentVolume: %w", err)
	}
	return s, nil
}

// with returns a configuration together with what Velero adds to it.
func with(config, added map[string]string) map[string]string {
	all := maps.Clone(added)
	maps.Copy(all, config)
	return all
}

func alternate(config, added map[string]string) map[string]string {
	if config == nil {
		return nil
	}
	return with(config, added)
}

func trusting(pem []byte) (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file holds no certificate in PEM")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
}

// environment returns that of the plugin: PATH, the variables that it inherits,
// and those that are set. A pod's plugin has no more either.
func environment(set map[string]string, inherited []string) []string {
	var env []string
	for _, name := range append([]string{"PATH"}, inherited...) {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		env = append(env, name+"="+set[name])
	}
	return env
}

// folder is that of the configuration file.
type folder string

func (d folder) path(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	absolute, err := filepath.Abs(filepath.Join(string(d), file))
	if err != nil {
		return file // the working directory is gone, so that opening the file tells
	}
	return absolute
}

func (d folder) credentials(file string) map[string]string {
	if file == "" {
		return map[string]string{}
	}
	return map[string]string{credentialsFileKey: d.path(file)}
}

// object returns an object of Kubernetes as JSON: the given one, or that of the
// file which it names.
func (d folder) object(raw json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	if _, named := fields["file"]; !named || len(fields) > 1 {
		return raw, nil
	}
	var name string
	if err := json.Unmarshal(fields["file"], &name); err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	text, err := os.ReadFile(d.path(name))
	if err != nil {
		return nil, err
	}
	object, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return object, nil
}

func (d folder) items(configured map[string][]json.RawMessage) (map[string][]json.RawMessage, error) {
	items := map[string][]json.RawMessage{}
	for name, objects := range configured {
		for i, raw := range objects {
			object, err := d.object(raw)
			if err != nil {
				return nil, fmt.Errorf("%s, item %d: %w", name, i+1, err)
			}
			items[name] = append(items[name], object)
		}
	}
	return items, nil
}

func (d folder) operations(configured []operation) ([]plugintest.Operation, error) {
	var all []plugintest.Operation
	for i, o := range configured {
		item, err := d.object(o.Item)
		if err != nil {
			return nil, fmt.Errorf("operation %d, item: %w", i+1, err)
		}
		all = append(all, plugintest.Operation{Kind: o.Kind, Name: o.Action, Item: item})
	}
	return all, nil
}

// knownActions returns an error when the configuration names an action that the
// plugin does not list, which would be left out without a word.
func knownActions(p plugintest.Plugin, offers []plugintest.Offer) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.Items)) {
		if !slices.ContainsFunc(offers, func(o plugintest.Offer) bool { return o.Name == name }) {
			errs = append(errs, fmt.Errorf("items: the plugin lists no action %s", name))
		}
	}
	for _, o := range p.Operations {
		if !slices.Contains(offers, plugintest.Offer{Kind: o.Kind, Name: o.Name}) {
			errs = append(errs, fmt.Errorf("operations: the plugin lists no %s %s", o.Kind, o.Name))
		}
	}
	return errors.Join(errs...)
}

// start breaks the backend. Whoever calls it cannot take an error, so that
// problem has it.
func (b *breaker) start() (restore func()) {
	b.err = errors.Join(b.err, runProgram(context.Background(), b.Begin))
	return func() { b.err = errors.Join(b.err, runProgram(context.Background(), b.End)) }
}

// problem returns what went wrong with breaking and mending.
func (b *breaker) problem() error {
	if b == nil {
		return nil
	}
	return b.err
}

// runProgram runs a program of the configuration.
func runProgram(ctx context.Context, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
