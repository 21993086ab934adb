package credfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf16"
)

var (
	markUTF8    = []byte("\xef\xbb\xbf")
	markUTF16LE = []byte("\xff\xfe")
	markUTF16BE = []byte("\xfe\xff")
	markUTF32LE = []byte("\xff\xfe\x00\x00")
	markUTF32BE = []byte("\x00\x00\xfe\xff")
)

// Text returns the content of a credentials file or of the key of a secret as
// UTF-8 without a byte order mark. It converts UTF-16, which PowerShell and some
// editors on Windows write, with or without a byte order mark. Another encoding
// whose bytes are no text is an error that names it.
func Text(data []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(data, markUTF32LE), bytes.HasPrefix(data, markUTF32BE):
		return nil, wrongEncoding("the text is encoded in UTF-32")
	case bytes.HasPrefix(data, markUTF8):
		data = data[len(markUTF8):]
	case bytes.HasPrefix(data, markUTF16LE):
		return fromUTF16(data[len(markUTF16LE):], binary.LittleEndian)
	case bytes.HasPrefix(data, markUTF16BE):
		return fromUTF16(data[len(markUTF16BE):], binary.BigEndian)
	case bytes.IndexByte(data, 0) < 0:
		return data, nil
	case zerosAt(data, 1):
		return fromUTF16(data, binary.LittleEndian)
	case zerosAt(data, 0):
		return fromUTF16(data, binary.BigEndian)
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, wrongEncoding("the content has zero bytes, so it is not text")
	}
	return data, nil
}

// zerosAt reports whether most bytes at the even (0) or odd (1) places are zero
// and none at the others is: UTF-16 of text that is mostly ASCII.
func zerosAt(data []byte, place int) bool {
	zeros := 0
	for i, c := range data {
		switch {
		case c != 0:
		case i%2 != place:
			return false
		default:
			zeros++
		}
	}
	return zeros > len(data)/4
}

func fromUTF16(data []byte, order binary.ByteOrder) ([]byte, error) {
	if len(data)%2 != 0 {
		return nil, wrongEncoding("the text is encoded in UTF-16, and its last character is cut off")
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	text := []byte(string(utf16.Decode(units)))
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, wrongEncoding("the content has zero characters, so it is not text")
	}
	return text, nil
}

func wrongEncoding(what string) error {
	return errors.New(what + "; save it as UTF-8")
}
