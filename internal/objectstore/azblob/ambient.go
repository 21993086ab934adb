package azblob

import (
	"context"
	"time"
)

// ambientTime bounds the search for an identity of the pod or the machine: where
// there is none, the address of the metadata service does not answer at all.
const ambientTime = 10 * time.Second

// Ambient finds out whether the environment, the pod or the machine has an identity
// of its own, by requesting a token for Blob storage.
func Ambient(ctx context.Context, configuration map[string]string) error {
	s := New(nil)
	defer s.Close()
	p, err := s.prepare(ctx, configuration)
	if err != nil {
		return err
	}
	token, err := p.identity.Token(p.transport)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ambientTime)
	defer cancel()
	_, err = token.Retrieve(ctx, storageScope)
	return err
}
