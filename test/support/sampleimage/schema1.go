package sampleimage

import (
	"encoding/json"
	"fmt"

	"github.com/docker/libtrust"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
)

// Schema1 is an image whose signed manifest is of schema 1. Such images are not
// made any more, but old clusters have them.
type Schema1 struct {
	Digest  digest.Digest
	Content []byte // the manifest with its signature, which the digest leaves out
}

// NewSchema1 makes the manifest of an image of these layers, the first of which
// is the lowest. Signatures differ each time.
func NewSchema1(repository, tag string, layers ...v1.Layer) (Schema1, error) {
	type blob struct {
		BlobSum string `json:"blobSum"`
	}
	type past struct {
		V1Compatibility string `json:"v1Compatibility"`
	}
	manifest := struct {
		SchemaVersion int    `json:"schemaVersion"`
		Name          string `json:"name"`
		Tag           string `json:"tag"`
		Architecture  string `json:"architecture"`
		FSLayers      []blob `json:"fsLayers"`
		History       []past `json:"history"`
	}{SchemaVersion: 1, Name: repository, Tag: tag, Architecture: "amd64"}
	for i := len(layers) - 1; i >= 0; i-- {
		sum, err := layers[i].Digest()
		if err != nil {
			return Schema1{}, err
		}
		compatibility, err := json.Marshal(v1Compatibility(i, i == len(layers)-1))
		if err != nil {
			return Schema1{}, err
		}
		manifest.FSLayers = append(manifest.FSLayers, blob{sum.String()})
		manifest.History = append(manifest.History, past{string(compatibility)})
	}
	payload, err := json.MarshalIndent(manifest, "", "   ")
	if err != nil {
		return Schema1{}, err
	}
	content, err := sign(payload)
	return Schema1{digest.FromBytes(payload), content}, err
}

// v1Compatibility is what a manifest says of a layer, and of the whole image in
// the part of its top layer.
func v1Compatibility(i int, top bool) map[string]any {
	id := func(i int) string { return fmt.Sprintf("%064x", i+1) }
	layer := map[string]any{
		"id":               id(i),
		"created":          "2016-05-04T03:02:01Z",
		"container_config": map[string]any{"Cmd": []string{fmt.Sprintf("/bin/sh -c #(nop) ADD file:%d in /", i)}},
	}
	if i > 0 {
		layer["parent"] = id(i - 1)
	}
	if top {
		layer["os"], layer["architecture"] = "linux", "amd64"
		layer["config"] = map[string]any{"Env": []string{"PATH=/usr/bin"}, "Cmd": []string{"/bin/app"}}
	}
	return layer
}

func sign(payload []byte) ([]byte, error) {
	key, err := libtrust.GenerateECP256PrivateKey()
	if err != nil {
		return nil, err
	}
	signature, err := libtrust.NewJSONSignature(payload)
	if err != nil {
		return nil, err
	}
	if err := signature.Sign(key); err != nil {
		return nil, err
	}
	return signature.PrettySignature("signatures")
}
