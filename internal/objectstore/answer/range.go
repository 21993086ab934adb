package answer

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
)

var (
	// ErrRangeUnknown reports an answer to a request for a range that does not
	// say which range it is, or whether it is the whole object. Asked for the
	// whole object, the server may send something that can be used.
	ErrRangeUnknown = errors.New("the server does not say which range of the object it sent")
	// ErrRangeWrong reports an answer with another range than was asked for, or
	// with another number of bytes than it announces.
	ErrRangeWrong = errors.New("the server sent another range of the object than was asked for")
	// ErrLengthUnknown reports a whole object of unknown length, whose end cannot
	// be told from a connection that was cut.
	ErrLengthUnknown = errors.New("the server does not say how long the object is")
	// ErrEncoded reports a body that somebody compressed on its way, in a form
	// that cannot be undone.
	ErrEncoded = errors.New("the object was compressed on its way")
)

// Range returns the body of the answer to a request for a range of an object. The
// answer must say that it is that range, in Content-Range, or be longer or shorter
// than the range, which shows that it is the whole object. A range that is
// compressed, and was not stored so, is decompressed.
//
// After an error the content is closed.
func (h Head) Range(asked transfer.Range, content io.ReadCloser) (*transfer.Body, error) {
	body, err := h.rangeOf(asked, content)
	if err != nil {
		_ = content.Close()
		return nil, err
	}
	return body, nil
}

func (h Head) rangeOf(asked transfer.Range, content io.ReadCloser) (*transfer.Body, error) {
	header := h.Header.Get("Content-Range")
	if header == "" {
		// A whole object whose length is that of the range could also be a range
		// whose header and status were lost.
		if h.Status == http.StatusPartialContent || h.Length < 0 || h.Length == asked.Length || h.Encoding() != "" {
			return nil, ErrRangeUnknown
		}
		return &transfer.Body{ReadCloser: content, Size: h.Length, Version: h.Version(), Whole: true}, nil
	}
	span, err := parseContentRange(header)
	switch {
	case err != nil:
		return nil, err
	case span.size < 0 && asked.Offset == 0:
		return nil, ErrRangeUnknown // of how many bytes nobody knows
	case span.first != asked.Offset || span.last >= asked.Offset+asked.Length:
		return nil, fmt.Errorf("%w: %q for a request of bytes %d-%d", ErrRangeWrong, header, asked.Offset, asked.Offset+asked.Length-1)
	}
	length := span.last - span.first + 1
	reader := io.Reader(content)
	switch encoding := h.Encoding(); {
	case encoding == "" && h.Length >= 0 && h.Length != length:
		return nil, fmt.Errorf("%w: %q with %d bytes", ErrRangeWrong, header, h.Length)
	case encoding == "", h.Length == length:
		// Ranges count the bytes of what is stored, so with as many bytes as the
		// range has the object is stored in this encoding.
	case encoding == "gzip":
		reader = &gunzip{content: content}
	default:
		return nil, fmt.Errorf("%w: Content-Encoding %q", ErrEncoded, encoding)
	}
	return &transfer.Body{
		ReadCloser: &limited{io.LimitReader(reader, length), content},
		Offset:     span.first, Size: span.size, Version: h.Version(),
	}, nil
}

// Whole returns the body of the answer to a request for a whole object. stat is
// the answer to a request for its properties; it may be nil unless
// [Head.NeedsStat].
//
// After an error the content is closed.
func (h Head) Whole(content io.ReadCloser, stat *Head) (*transfer.Body, error) {
	body, err := h.wholeOf(content, stat)
	if err != nil {
		_ = content.Close()
		return nil, err
	}
	return body, nil
}

// NeedsStat reports whether only the properties of the object tell its length, or
// whether it is stored in the encoding that it came in.
func (h Head) NeedsStat() bool { return h.Length < 0 || h.Encoding() != "" }

func (h Head) wholeOf(content io.ReadCloser, stat *Head) (*transfer.Body, error) {
	if header := h.Header.Get("Content-Range"); header != "" || h.Status == http.StatusPartialContent {
		span, err := parseContentRange(header)
		if err != nil || span.first != 0 || span.size < 0 || span.last != span.size-1 || h.Length >= 0 && h.Length != span.size {
			return nil, fmt.Errorf("%w: status %d with Content-Range %q for a request of the whole object", ErrRangeWrong, h.Status, header)
		}
		if h.Encoding() == "" {
			h.Length = span.size
		}
	}
	body := &transfer.Body{ReadCloser: content, Size: h.Length, Version: h.Version(), Whole: true}
	if !h.NeedsStat() {
		return body, nil
	}
	if stat == nil || stat.Length < 0 || stat.Version() != h.Version() {
		return nil, ErrLengthUnknown
	}
	body.Size = stat.Length
	switch encoding := h.Encoding(); {
	case encoding == stat.Encoding() && (encoding == "" || h.Length < 0 || h.Length == stat.Length):
	case encoding == "gzip" && stat.Encoding() == "":
		body.ReadCloser = &limited{&gunzip{content: content}, content}
	default:
		return nil, fmt.Errorf("%w: Content-Encoding %q, and %q in its properties", ErrEncoded, encoding, stat.Encoding())
	}
	return body, nil
}

// span is a range as Content-Range tells it: "bytes 0-8388607/268435456".
type span struct {
	first, last int64
	size        int64 // of the whole object, -1 for *
}

func parseContentRange(s string) (span, error) {
	bad := fmt.Errorf("%w: Content-Range %q", ErrRangeWrong, s)
	rest, ok := strings.CutPrefix(s, "bytes ")
	positions, size, slash := strings.Cut(rest, "/")
	first, last, dash := strings.Cut(positions, "-")
	if !ok || !slash || !dash {
		return span{}, bad
	}
	r := span{size: -1}
	var err [3]error
	r.first, err[0] = parseOffset(first)
	r.last, err[1] = parseOffset(last)
	if size != "*" {
		r.size, err[2] = parseOffset(size)
	}
	if errors.Join(err[:]...) != nil || r.first > r.last || r.size >= 0 && r.last >= r.size {
		return span{}, bad
	}
	return r, nil
}

// parseOffset reads digits, and no sign.
func parseOffset(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// limited is a part of, or made from, the content that it closes.
type limited struct {
	io.Reader
	io.Closer
}

// gunzip decompresses content. It begins to read with the first Read.
type gunzip struct {
	content io.Reader
	reader  *gzip.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.reader == nil {
		reader, err := gzip.NewReader(g.content)
		if err != nil {
			return 0, damaged(err)
		}
		g.reader = reader
	}
	n, err := g.reader.Read(p)
	if err == io.EOF {
		return n, err
	}
	return n, damaged(err)
}

// damaged makes the end of a compressed body that has none yet, an io.EOF, an
// error.
func damaged(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
