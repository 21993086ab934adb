package kube

import (
	"errors"
	"os"
	"strings"
)

// Token returns the token with which the client reaches the API. Services of
// the cluster that ask the API who their users are, such as OpenShift's
// registry, take it as well. Files are read anew each time, since their tokens
// are replaced long before they expire.
func (c *Cluster) Token() (string, error) {
	connection, err := c.connect()
	if err != nil {
		return "", err
	}
	token := connection.config.BearerToken
	if path := connection.config.BearerTokenFile; path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			// For those who ask a service for something, fs.ErrNotExist would mean
			// that the service does not have it.
			return "", noToken(errors.New(err.Error()))
		}
		token = strings.TrimSpace(string(content))
	}
	if token == "" {
		return "", noToken(errors.New("it has none"))
	}
	return token, nil
}

// Authorities returns the certificates, as PEM text, that vouch for the API
// server. It is empty if the system's do.
func (c *Cluster) Authorities() ([]byte, error) {
	connection, err := c.connect()
	if err != nil {
		return nil, err
	}
	if path := connection.config.CAFile; len(connection.config.CAData) == 0 && path != "" {
		return os.ReadFile(path)
	}
	return connection.config.CAData, nil
}
