package s3

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"hash/crc64"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
)

// checksumMode is how uploads are protected. In all modes the server can verify
// what it gets: by a checksum header, by Content-MD5, or by the payload's hash in
// the signature.
type checksumMode struct {
	algorithm string // of checksumAlgorithms, "" for no checksum header
	md5       bool   // also send Content-MD5
	fixed     bool   // asked for by the configuration, so never replaced
	signed    bool   // sign the payload as well
}

// checksums are the values for one body, in the form of the headers. At most one
// algorithm besides MD5 has a value.
type checksums struct {
	crc32, crc32c, crc64nvme, sha1, sha256 *string

	contentMD5  *string
	payloadHash string // hex; "" to leave it to the SDK
}

// nvmePolynomial is the polynomial of CRC-64/NVME in Go's bit order.
const nvmePolynomial = 0x9a6c9329ac4bc9b5

// signsPayload reports whether the signature covers the payload: without TLS or
// any checksum header it does in any case.
func (m checksumMode) signsPayload(tls bool) bool { return m.signed || m.algorithm == "" || !tls }

// sums computes what the mode asks for.
func (m checksumMode) sums(body []byte, tls bool) checksums {
	var s checksums
	switch m.algorithm {
	case "CRC32":
		s.crc32 = encode(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
	case "CRC32C":
		s.crc32c = encode(binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))))
	case "CRC64NVME":
		s.crc64nvme = encode(binary.BigEndian.AppendUint64(nil, crc64.Checksum(body, crc64.MakeTable(nvmePolynomial))))
	case "SHA1":
		sum := sha1.Sum(body)
		s.sha1 = encode(sum[:])
	}
	if m.algorithm == "SHA256" || m.signsPayload(tls) {
		sum := sha256.Sum256(body)
		if m.algorithm == "SHA256" {
			s.sha256 = encode(sum[:])
		}
		if m.signsPayload(tls) {
			s.payloadHash = hex.EncodeToString(sum[:])
		}
	}
	if m.md5 {
		sum := md5.Sum(body)
		s.contentMD5 = encode(sum[:])
	}
	return s
}

func encode(sum []byte) *string {
	s := base64.StdEncoding.EncodeToString(sum)
	return &s
}

// context returns the context for the request that carries the sums.
func (s checksums) context(ctx context.Context) context.Context {
	if s.payloadHash == "" {
		return ctx
	}
	return withPayloadHash(ctx, s.payloadHash)
}

// integrity chooses the mode of each upload and remembers what the server takes.
// It is safe for concurrent use.
type integrity struct {
	mode      atomic.Pointer[checksumMode]
	confirmed atomic.Bool // the server has shown that it knows checksum headers
	log       *slog.Logger
}

func newIntegrity(mode checksumMode, log *slog.Logger) *integrity {
	i := &integrity{log: log}
	i.mode.Store(&mode)
	return i
}

// confirm notes whether an answer shows that the server knows checksum headers.
// Until one does the payload is signed as well: servers that do not know the
// headers ignore them.
func (i *integrity) confirm(known bool) {
	if known {
		i.confirmed.Store(true)
	}
}

// send runs request in the current mode. When the server refuses the mode's
// checksum the request is repeated in another one, which is kept if it succeeds.
func (i *integrity) send(request func(checksumMode) error) error {
	current := i.mode.Load()
	mode := *current
	mode.signed = !i.confirmed.Load()
	refusal := request(mode)
	for err := refusal; err != nil; {
		next, ok := mode.fallback(err)
		if !ok {
			return refusal
		}
		mode = next
		if err = request(mode); err == nil && i.mode.CompareAndSwap(current, &mode) {
			i.explain(*current, mode, refusal)
		}
		if err == nil {
			return nil
		}
	}
	return nil
}

// explain tells what to set so that the detour is not needed again.
func (i *integrity) explain(from, to checksumMode, refusal error) {
	if to.md5 && !from.md5 {
		i.log.Warn("the server demands Content-MD5, which is sent from now on", "error", awsaccess.Plain(refusal).Error())
	}
	if to.algorithm != from.algorithm {
		i.log.Warn(`the server refuses checksum headers, so the payload is signed in their place; set checksumAlgorithm to "" in the config of the location to do so at once`,
			"error", awsaccess.Plain(refusal).Error())
	}
}

// fallback returns the mode to try after err.
func (m checksumMode) fallback(err error) (checksumMode, bool) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return m, false
	}
	if !m.md5 && strings.Contains(api.ErrorMessage(), "Content-MD5") {
		m.md5 = true
		return m, true
	}
	if m.fixed || m.algorithm == "" || !refusesChecksum(err, api.ErrorCode()) {
		return m, false
	}
	m.algorithm = ""
	return m, true
}

// checksumRefusals are the codes with which servers answer a checksum header that
// they do not know.
var checksumRefusals = []string{"InvalidArgument", "InvalidRequest", "BadRequest", "NotImplemented", "XAmzContentSHA256Mismatch"}

func refusesChecksum(err error, code string) bool {
	var resp *awshttp.ResponseError
	if !errors.As(err, &resp) {
		return false
	}
	status := resp.HTTPStatusCode()
	clientError := status >= 400 && status < 500 || status == http.StatusNotImplemented
	return clientError && slices.Contains(checksumRefusals, code)
}

// sdkAlgorithm returns the value for the start of a multipart upload.
func (m checksumMode) sdkAlgorithm() types.ChecksumAlgorithm {
	return types.ChecksumAlgorithm(m.algorithm)
}
