package s3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// customerKeySize is the size of an SSE-C key in bytes.
const customerKeySize = 32

// encryption is how the server encrypts objects. The zero value leaves it to the
// bucket.
type encryption struct {
	algorithm *string // x-amz-server-side-encryption
	kmsKey    *string
	customer  customerKey
}

// customerKey holds the SSE-C headers, which most requests for an object carry.
// They are nil when there is no such key.
type customerKey struct {
	algorithm, key, md5 *string
}

// present reports whether an encryption was asked for.
func (e encryption) present() bool { return e.algorithm != nil || e.customer.key != nil }

// newEncryption returns the encryption with keys that KMS or S3 keep. A KMS key
// implies its algorithm, unless the dual-layer variant is asked for.
func newEncryption(algorithm, kmsKey string) encryption {
	if kmsKey != "" && !strings.HasPrefix(algorithm, "aws:kms") {
		algorithm = "aws:kms"
	}
	return encryption{algorithm: optional(algorithm), kmsKey: optional(kmsKey)}
}

// newCustomerEncryption returns the encryption with a key of customerKeySize
// bytes. The headers of other kinds would contradict it.
func newCustomerEncryption(key []byte) encryption {
	sum := md5.Sum(key)
	return encryption{customer: customerKey{
		algorithm: optional("AES256"),
		key:       optional(base64.StdEncoding.EncodeToString(key)),
		md5:       optional(base64.StdEncoding.EncodeToString(sum[:])),
	}}
}

// optional returns nil for "", which leaves a header out of a request: several
// servers refuse empty ones.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// readCustomerKeyFile returns the first bytes of the file. Files that are longer
// have been in use with other plugins, so their backups must stay readable.
func (s *settings) readCustomerKeyFile() ([]byte, error) {
	key := make([]byte, customerKeySize+1)
	f, err := os.Open(s.customerKeyFile)
	if err != nil {
		return nil, customerKeyError(s.customerKeyFile, err)
	}
	defer f.Close()
	n, err := io.ReadFull(f, key)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, customerKeyError(s.customerKeyFile, err)
	case n < customerKeySize:
		return nil, customerKeyError(s.customerKeyFile, fmt.Errorf("the key has %d bytes, expected %d", n, customerKeySize))
	case n > customerKeySize:
		s.warn("customerKeyEncryptionFile %s is longer than %d bytes: only its first %d bytes are the key", s.customerKeyFile, customerKeySize, customerKeySize)
	}
	return key[:customerKeySize], nil
}

func readCustomerKeySecret(ctx context.Context, ref secretKey) ([]byte, error) {
	key, err := readSecretKey(ctx, ref)
	if err == nil && len(key) != customerKeySize {
		err = fmt.Errorf("the key has %d bytes, expected %d", len(key), customerKeySize)
	}
	if err != nil {
		return nil, customerKeyError("secret "+ref.name+" key "+ref.key, err)
	}
	return key, nil
}

func customerKeyError(source string, err error) error {
	return &fault.Error{Code: CodeCustomerKey, What: "error reading the SSE-C key from " + source, Err: err}
}
