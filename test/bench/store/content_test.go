package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

const testSize = 3*period + 12345

func TestContentVerifiesItself(t *testing.T) {
	c := newContent()
	for _, size := range []int64{0, 1, 16 << 10, period, testSize} {
		if err := c.verify(iotest.OneByteReader(c.reader(min(size, 1<<16))), min(size, 1<<16)); err != nil {
			t.Errorf("%d bytes one by one: %v", size, err)
		}
		if err := c.verify(c.reader(size), size); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestContentFindsDamage(t *testing.T) {
	c := newContent()
	original, err := io.ReadAll(c.reader(testSize))
	if err != nil {
		t.Fatal(err)
	}
	const part = 1 << 20
	damages := map[string]func([]byte) []byte{
		"truncated":    func(b []byte) []byte { return b[:len(b)-1] },
		"longer":       func(b []byte) []byte { return append(b, 0) },
		"flipped bit":  func(b []byte) []byte { b[testSize/2] ^= 1; return b },
		"doubled part": func(b []byte) []byte { copy(b[part:2*part], b[:part]); return b },
		"lost part":    func(b []byte) []byte { return append(b[:part], b[2*part:]...) },
	}
	for name, damage := range damages {
		if err := c.verify(bytes.NewReader(damage(bytes.Clone(original))), testSize); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

func TestContentReportsReadErrors(t *testing.T) {
	c := newContent()
	broken := errors.New("broken")
	got := io.MultiReader(c.reader(100), iotest.ErrReader(broken))
	if err := c.verify(got, testSize); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
