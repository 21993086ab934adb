package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// CreateSignedURL points to the command serve, since Velero ends the plugin long
// before the URL expires. The key is the credential of the location.
func (s *store) CreateSignedURL(_ context.Context, in sdk.CreateSignedURLInput) (sdk.CreateSignedURLResult, error) {
	if _, err := s.path(in.Bucket, ""); err != nil {
		return sdk.CreateSignedURLResult{}, err
	}
	values := s.config.Load()
	u := values.URL("publicUrl")
	if u == nil {
		return sdk.CreateSignedURLResult{}, errors.New("URLs cannot be signed, since the config of the location has no publicUrl")
	}
	path, expires := "/"+in.Bucket+"/"+fileName(in.Key), strconv.FormatInt(time.Now().Add(in.TTL).Unix(), 10)
	signature, err := sign(values.String(location.CredentialsFileKey), path, expires)
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = url.Values{"expires": {expires}, "signature": {signature}}.Encode()
	return sdk.CreateSignedURLResult{URL: u.String()}, err
}

// sign returns the signature of a path that is valid until a time.
func sign(keyFile, path, expires string) (string, error) {
	key, err := os.ReadFile(keyFile)
	if err == nil && len(key) < 32 {
		err = fmt.Errorf("the key in %s is shorter than 32 bytes", keyFile)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s?%s", path, expires)
	return hex.EncodeToString(mac.Sum(nil)), err
}

// serve is the command that serves signed URLs, until ctx ends.
func serve(ctx context.Context, in sdk.CommandInput) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	root := flags.String("root", ".", "`DIR` with a subdirectory for each bucket")
	keyFile := flags.String("key-file", "", "`FILE` with the key, 32 bytes or more, that is also the locations' credential")
	listen := flags.String("listen", ":8080", "`ADDRESS` to listen on")
	if err := flags.Parse(in.Args); err != nil {
		return err
	}
	if _, err := sign(*keyFile, "", ""); err != nil {
		return err
	}
	files := signed(*keyFile, http.FileServer(http.Dir(*root)))
	server := &http.Server{Addr: *listen, Handler: files, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	err := server.ListenAndServe()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// signed hands requests on whose path and time are signed.
func signed(keyFile string, files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		signature, err := sign(keyFile, r.URL.Path, query.Get("expires"))
		valid := err == nil && hmac.Equal([]byte(signature), []byte(query.Get("signature")))
		expires, _ := strconv.ParseInt(query.Get("expires"), 10, 64) // what was signed is a number
		if !valid || time.Now().Unix() >= expires {
			http.Error(w, "the URL has expired or was not signed with the key of this server", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		files.ServeHTTP(w, r)
	})
}
