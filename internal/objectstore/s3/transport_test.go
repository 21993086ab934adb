package s3

import (
	"slices"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

func TestIsAWS(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": true, "https://s3.eu-west-1.amazonaws.com": true, "https://s3.cn-north-1.amazonaws.com.cn": true,
		"https://s3.dualstack.us-east-1.AMAZONAWS.com:443/x": true, "https://minio:9000": false, "https://amazonaws.com.example.org": false,
		"https://notamazonaws.com": false, "http://127.0.0.1": false,
	} {
		if isAWS(endpoint) != want {
			t.Errorf("%s: %v", endpoint, !want)
		}
	}
}

func TestOperationName(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "x-id=PutObject": "", "uploads=&x-id=CreateMultipartUpload": "uploads=", "x-id=UploadPart&partNumber=1&uploadId=a%2Fb": "partNumber=1&uploadId=a%2Fb",
		"list-type=2&prefix=x-id%3Dy": "list-type=2&prefix=x-id%3Dy",
	} {
		if got := withoutOperationName(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// Codes are complete and each is listed once.
func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes {
		if !strings.HasPrefix(c.ID, "S3_") || c.Meaning == "" || c.Fix == "" || seen[c.ID] {
			t.Errorf("code %+v", c)
		}
		seen[c.ID] = true
	}
	for name, c := range apiCodes {
		if !seen[c.ID] && !slices.ContainsFunc(endpoint.Codes, func(e fault.Code) bool { return e.ID == c.ID }) {
			t.Errorf("%s is mapped to a code that is not listed: %s", name, c.ID)
		}
	}
}

// The values that other implementations compute for the same bytes.
func TestChecksums(t *testing.T) {
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	body := []byte("123456789")
	for algorithm, want := range map[string]string{
		"CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "CRC64NVME": "rosUhgp5mIg=", "SHA1": "98O8HYCOBHMq32eZZczDTKeuNEE=",
		"SHA256": "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=", "": "",
	} {
		s := checksumMode{algorithm: algorithm}.sums(body, true)
		got := text(s.crc32) + text(s.crc32c) + text(s.crc64nvme) + text(s.sha1) + text(s.sha256)
		if got != want || s.contentMD5 != nil || (s.payloadHash != "") != (algorithm == "") {
			t.Errorf("%q: %s, want %s", algorithm, got, want)
		}
		if plain := (checksumMode{algorithm: algorithm}).sums(body, false); plain.payloadHash != "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225" {
			t.Errorf("%q without TLS: payload hash %s", algorithm, plain.payloadHash)
		}
	}
	if got := text(checksumMode{md5: true}.sums(body, true).contentMD5); got != "JfnnlDI7RTiF9RgfG2JNCw==" {
		t.Errorf("MD5: %s", got)
	}
}
