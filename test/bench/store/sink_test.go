package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The sink takes the parts of the object and nothing else.
func TestSink(t *testing.T) {
	const partSize = 1000
	body := newContent()
	parts := func(sizes ...int) (data [][]byte, list string) {
		at := 0
		for i, size := range sizes {
			data = append(data, body[at:at+size])
			at += size
			list += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><ChecksumCRC32>%s</ChecksumCRC32></Part>", i+1, etag(i+1), checksum(data[i]))
		}
		return data, "<CompleteMultipartUpload>" + list + "</CompleteMultipartUpload>"
	}
	for name, c := range map[string]struct {
		sizes  []int
		change func(data [][]byte, list string) ([][]byte, string)
		ok     bool
	}{
		"whole":      {[]int{1000, 1000, 7}, nil, true},
		"swapped":    {[]int{1000, 1000, 7}, func(d [][]byte, l string) ([][]byte, string) { d[0], d[1] = d[1], d[0]; return d, l }, false},
		"short part": {[]int{1000, 999, 7}, nil, false},
		"not named":  {[]int{1000, 1000}, func(d [][]byte, l string) ([][]byte, string) { return append(d, body[2000:2007]), l }, false},
		"wrong order": {[]int{1000, 7}, func(d [][]byte, l string) ([][]byte, string) {
			return d, strings.Replace(l, "<PartNumber>1", "<PartNumber>2", 1)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(body, partSize)
			addr, stop := s.listen()
			defer stop()
			data, list := parts(c.sizes...)
			if c.change != nil {
				data, list = c.change(data, list)
			}
			base := "http://" + addr + "/bench/huge?uploadId=" + uploadID
			ok, size := true, 0
			for i, part := range data {
				size += len(part)
				ok = ok && send(t, http.MethodPut, fmt.Sprintf("%s&partNumber=%d", base, i+1), string(part))
			}
			ok = ok && send(t, http.MethodPost, base, list)
			if ok != c.ok || ok && s.complete != int64(size) {
				t.Errorf("taken: %v, %d bytes of %d", ok, s.complete, size)
			}
		})
	}
}

func checksum(p []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(p)))
}

func send(t *testing.T, method, url, body string) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Amz-Checksum-Crc32", checksum([]byte(body)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode == http.StatusOK
}
