package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
)

// sink is an S3 server for one object of any size. It checks what arrives against
// what was to be sent, byte for byte, and keeps none of it.
type sink struct {
	content  content
	partSize int64 // of the parts that may be sent in parallel

	mu       sync.Mutex
	parts    map[int]sinkPart
	complete int64 // size of the completed object
}

type sinkPart struct {
	size     int64
	checksum string
}

// Parts up to this number have one size; the others have largeFactor times as
// much, except for the last.
const (
	smallParts  = 9000
	largeFactor = 16
	uploadID    = "the-upload"
)

func newSink(c content, partSize int64) *sink {
	return &sink{content: c, partSize: partSize, parts: map[int]sinkPart{}}
}

// listen serves the sink until the returned function is called.
func (s *sink) listen() (addr string, stop func()) {
	server := httptest.NewServer(s)
	return server.Listener.Addr().String(), server.Close
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && query.Has("uploads"):
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", uploadID)
	case r.Method == http.MethodPut && query.Get("uploadId") == uploadID:
		err = s.part(w, r)
	case r.Method == http.MethodPost && query.Get("uploadId") == uploadID:
		err = s.completeUpload(w, r)
	default:
		err = fmt.Errorf("unexpected request: %s %s", r.Method, r.URL)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, "<Error><Code>Wrong</Code><Message>")
		_ = xml.EscapeText(w, []byte(err.Error()))
		fmt.Fprint(w, "</Message></Error>")
	}
}

// part checks the body of a part and its checksum.
func (s *sink) part(w http.ResponseWriter, r *http.Request) error {
	n, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
	if err != nil || n < 1 || n > 10000 {
		return fmt.Errorf("part number %q", r.URL.Query().Get("partNumber"))
	}
	offset := int64(n-1) * s.partSize
	if n > smallParts {
		offset = smallParts*s.partSize + int64(n-1-smallParts)*s.partSize*largeFactor
	}
	sum := crc32.NewIEEE()
	if err := s.content.verifyAt(io.TeeReader(r.Body, sum), offset, r.ContentLength); err != nil {
		return fmt.Errorf("part %d: %w", n, err)
	}
	checksum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum.Sum32()))
	if got := r.Header.Get("X-Amz-Checksum-Crc32"); got != checksum {
		return fmt.Errorf("part %d: checksum %q, want %q", n, got, checksum)
	}
	s.mu.Lock()
	s.parts[n] = sinkPart{r.ContentLength, checksum}
	s.mu.Unlock()
	w.Header().Set("ETag", etag(n))
	return nil
}

func etag(part int) string { return fmt.Sprintf(`"part-%d"`, part) }

// completeUpload checks that all parts are named in order, and that they have the
// sizes that they may have.
func (s *sink) completeUpload(w http.ResponseWriter, r *http.Request) error {
	var list struct {
		Part []struct {
			PartNumber          int
			ETag, ChecksumCRC32 string
		}
	}
	if err := xml.NewDecoder(r.Body).Decode(&list); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(list.Part) != len(s.parts) {
		return fmt.Errorf("%d parts are named, %d were sent", len(list.Part), len(s.parts))
	}
	var total int64
	for i, named := range list.Part {
		n, part := i+1, s.parts[i+1]
		want := s.partSize
		if n > smallParts {
			want *= largeFactor
		}
		last := n == len(list.Part)
		if named.PartNumber != n || named.ETag != etag(n) || named.ChecksumCRC32 != part.checksum {
			return fmt.Errorf("part %d is named as %+v", n, named)
		}
		if part.size > want || part.size != want && !last {
			return fmt.Errorf("part %d has %d bytes, want %d", n, part.size, want)
		}
		total += part.size
	}
	s.complete = total
	fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
	return nil
}

// verifyAt reads got to its end and fails unless it is size bytes of the content
// from an offset on.
func (c content) verifyAt(got io.Reader, offset, size int64) error {
	at := int(offset % int64(len(c)))
	buffer := make([]byte, 256<<10)
	var seen int64
	for {
		n, err := got.Read(buffer)
		for rest := buffer[:n]; len(rest) > 0; {
			m := min(len(rest), len(c)-at)
			if !bytes.Equal(rest[:m], c[at:at+m]) {
				return fmt.Errorf("wrong data behind byte %d", offset+seen)
			}
			at, rest = (at+m)%len(c), rest[m:]
			seen += int64(m)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if seen != size {
		return fmt.Errorf("%d bytes, want %d", seen, size)
	}
	return nil
}
