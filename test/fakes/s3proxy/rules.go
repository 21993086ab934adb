package s3proxy

import (
	"net/http"
	"strings"
)

// Rule refuses a request that a strict server refuses, or returns nil.
type Rule func(Request) *Refusal

// Strict is what all servers refuse that are not made by Amazon, taken together.
func Strict() []Rule {
	return []Rule{NoChunks, NoTrailers, NoSDKChecksum, NoEmptyHeaders, NoOperationName, UnsignedAcceptEncoding, NoExpect}
}

// NoChunks refuses bodies in chunks, with signatures or without.
func NoChunks(r Request) *Refusal {
	encoding := r.Header.Get("Content-Encoding")
	if strings.Contains(encoding, "aws-chunked") || strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") || r.ContentLength < 0 {
		return &Refusal{http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented: aws-chunked"}
	}
	return nil
}

// NoTrailers refuses checksums behind the body.
func NoTrailers(r Request) *Refusal {
	if r.Trailer || r.Header.Get("X-Amz-Trailer") != "" {
		return &Refusal{http.StatusNotImplemented, "NotImplemented", "trailers are not implemented"}
	}
	return nil
}

// NoSDKChecksum refuses the header with which SDKs announce a checksum.
func NoSDKChecksum(r Request) *Refusal {
	if r.Header.Get("X-Amz-Sdk-Checksum-Algorithm") != "" {
		return &Refusal{http.StatusBadRequest, "InvalidArgument", "unsupported header x-amz-sdk-checksum-algorithm"}
	}
	return nil
}

// NoEmptyHeaders refuses headers of S3 without a value, such as a tagging header
// without tags.
func NoEmptyHeaders(r Request) *Refusal {
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") && strings.Join(values, "") == "" {
			return &Refusal{http.StatusBadRequest, "InvalidArgument", "empty header " + name}
		}
	}
	return nil
}

// NoOperationName refuses the operation's name in the query.
func NoOperationName(r Request) *Refusal {
	if r.Query.Has("x-id") {
		return &Refusal{http.StatusBadRequest, "InvalidArgument", "unknown query parameter x-id"}
	}
	return nil
}

// UnsignedAcceptEncoding refuses a signature that covers Accept-Encoding, which
// gateways rewrite. The header itself has to be there, against compression.
func UnsignedAcceptEncoding(r Request) *Refusal {
	if strings.Contains(signedHeaders(r), "accept-encoding") {
		return &Refusal{http.StatusForbidden, "SignatureDoesNotMatch", "the signature covers Accept-Encoding"}
	}
	if r.Header.Get("Accept-Encoding") != "identity" && r.Query.Get("X-Amz-Signature") == "" {
		return &Refusal{http.StatusBadRequest, "InvalidArgument", "Accept-Encoding is not identity"}
	}
	return nil
}

func signedHeaders(r Request) string {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, _, _ := strings.Cut(rest, ",")
	return names + ";" + r.Query.Get("X-Amz-SignedHeaders")
}

// NoExpect refuses to be asked before the body is sent.
func NoExpect(r Request) *Refusal {
	if r.Header.Get("Expect") != "" {
		return &Refusal{http.StatusExpectationFailed, "ExpectationFailed", "Expect is not supported"}
	}
	return nil
}

// ContentMD5Required refuses uploads without the digest that object lock needs.
func ContentMD5Required(r Request) *Refusal {
	op := r.Operation()
	if (op == "PutObject" || op == "UploadPart") && r.Header.Get("Content-Md5") == "" {
		return &Refusal{http.StatusBadRequest, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"}
	}
	return nil
}

// ChecksumsRefused refuses all checksum headers.
func ChecksumsRefused(r Request) *Refusal {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			return &Refusal{http.StatusBadRequest, "InvalidArgument", "unsupported header " + name}
		}
	}
	return nil
}

// UnsignedPayloadRefused refuses uploads whose payload is not in the signature.
func UnsignedPayloadRefused(r Request) *Refusal {
	if r.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD" && r.ContentLength > 0 {
		return &Refusal{http.StatusBadRequest, "XAmzContentSHA256Mismatch", "the payload is not signed"}
	}
	return nil
}
