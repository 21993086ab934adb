package host

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

// Body is the content of an object: bytes that depend on the seed and do not
// repeat, and need not be kept in memory.
type Body struct {
	Seed uint64
	Size int64
}

// Reader returns the whole body.
func (b Body) Reader() io.Reader {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], b.Seed)
	return io.LimitReader(rand.NewChaCha8(seed), b.Size)
}

// Compare reads r to its end and returns an error unless it is the body.
func (b Body) Compare(r io.Reader) error {
	want, got := sha256.New(), sha256.New()
	n, err := io.Copy(got, r)
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", n, b.Size, err)
	}
	if n != b.Size {
		return fmt.Errorf("%d bytes of %d and no error", n, b.Size)
	}
	if _, err := io.Copy(want, b.Reader()); err != nil {
		return err
	}
	if [sha256.Size]byte(want.Sum(nil)) != [sha256.Size]byte(got.Sum(nil)) {
		return fmt.Errorf("the %d bytes are not those of the object", n)
	}
	return nil
}
