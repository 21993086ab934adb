package plugintest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// pattern is the body of an object. Each byte follows from the seed and its offset,
// so that a body can be compared without being kept in memory.
type pattern struct {
	seed uint64
	size int64
}

// fill writes the bytes from offset on into p.
func (b pattern) fill(p []byte, offset int64) {
	var word [8]byte
	for len(p) > 0 {
		for offset%8 == 0 && len(p) >= 8 {
			binary.LittleEndian.PutUint64(p, mix(b.seed+uint64(offset/8)))
			p, offset = p[8:], offset+8
		}
		binary.LittleEndian.PutUint64(word[:], mix(b.seed+uint64(offset/8)))
		n := copy(p, word[offset%8:])
		p, offset = p[n:], offset+int64(n)
	}
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// reader returns the whole body. It never returns data together with io.EOF,
// which the Velero server would lose.
func (b pattern) reader() io.Reader { return &patternReader{pattern: b} }

type patternReader struct {
	pattern
	offset int64
}

func (r *patternReader) Read(p []byte) (int, error) {
	if r.offset == r.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), r.size-r.offset))
	r.fill(p[:n], r.offset)
	r.offset += int64(n)
	return n, nil
}

// compare reads r to its end and returns an error unless it is the body.
func (b pattern) compare(r io.Reader) error {
	got, want := make([]byte, 256<<10), make([]byte, 256<<10)
	var offset int64
	for {
		n, err := r.Read(got)
		if offset+int64(n) > b.size {
			return fmt.Errorf("more than the %d bytes of the object arrived", b.size)
		}
		b.fill(want[:n], offset)
		if !bytes.Equal(got[:n], want[:n]) {
			return fmt.Errorf("the %d bytes from %d on are not those of the object", n, offset)
		}
		offset += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", offset, b.size, err)
		}
	}
	if offset != b.size {
		return fmt.Errorf("only %d of %d bytes arrived, and no error", offset, b.size)
	}
	return nil
}

// newPattern returns a body that differs from those of other sizes and names.
func newPattern(name string, size int64) pattern {
	seed := uint64(size)
	for _, c := range []byte(name) {
		seed = mix(seed + uint64(c))
	}
	return pattern{seed, size}
}

// rate returns MiB per second.
func rate(size int64, took time.Duration) float64 {
	return float64(size) / (1 << 20) / took.Seconds()
}
