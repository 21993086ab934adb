package s3

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

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
	once      bool   // do not repeat the request
}

// options are those of the request.
func (m checksumMode) options(o *s3.Options) {
	if m.once {
		o.Retryer = aws.NopRetryer{}
	}
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

// combined returns the checksum of an object as S3 makes it of the checksums of
// its parts, or "" if it does not:
//
//	BWJ6dg==-2
func combined(algorithm string, parts []types.CompletedPart) string {
	var all []byte
	for _, part := range parts {
		value := cmp.Or(part.ChecksumCRC32, part.ChecksumCRC32C, part.ChecksumSHA1, part.ChecksumSHA256)
		sum, err := base64.StdEncoding.DecodeString(aws.ToString(value))
		if err != nil || len(sum) == 0 {
			return ""
		}
		all = append(all, sum...)
	}
	s := checksumMode{algorithm: algorithm}.sums(all, true)
	value := cmp.Or(s.crc32, s.crc32c, s.sha1, s.sha256)
	if value == nil {
		return ""
	}
	return fmt.Sprintf("%s-%d", *value, len(parts))
}

// integrity chooses the mode of each request and remembers what the server takes.
// It is safe for concurrent use.
type integrity struct {
	mode      atomic.Pointer[checksumMode]
	confirmed atomic.Bool // the server has shown that it knows checksum headers
	log       *slog.Logger

	// An upload in parts has an integrity of its own, with the mode that it began
	// with: a part without the checksum that the upload was begun with makes the
	// upload fail, or leaves the part without protection.
	whole    *integrity  // of whole objects, nil in whole itself
	accepted atomic.Bool // a part was accepted with its checksum
}

func newIntegrity(mode checksumMode, log *slog.Logger) *integrity {
	i := &integrity{log: log}
	i.mode.Store(&mode)
	return i
}

// forParts returns the integrity of an upload that was begun in the given mode.
func (i *integrity) forParts(mode checksumMode) *integrity {
	mode.once = false
	parts := newIntegrity(mode, i.log)
	parts.whole = i
	parts.confirmed.Store(i.confirmed.Load())
	return parts
}

// confirm notes whether an answer shows that the server knows checksum headers.
// Until one does the payload is signed as well: servers that do not know the
// headers ignore them.
func (i *integrity) confirm(known bool) {
	if !known {
		return
	}
	i.confirmed.Store(true)
	if i.whole != nil {
		i.whole.confirmed.Store(true)
	}
}

// send runs request in the current mode. When the server refuses the mode's
// checksum the request is repeated in another one, which is kept if it succeeds.
func (i *integrity) send(request func(checksumMode) error) error {
	current := i.mode.Load()
	mode := *current
	mode.signed = !i.confirmed.Load()
	refusal := request(mode)
	if isDamaged(refusal) && i.confirmed.Load() {
		// The server knows checksums, and this body was damaged on its way.
		refusal = request(mode)
	}
	for err := refusal; err != nil; {
		next, ok := i.fallback(mode, err)
		if !ok {
			return refusal
		}
		mode = next
		if err = request(mode); err == nil {
			i.keep(current, mode, refusal)
			return nil
		}
	}
	if i.whole != nil && mode.algorithm != "" {
		i.accepted.Store(true)
	}
	return nil
}

// keep remembers a mode that the server takes in place of the current one.
func (i *integrity) keep(current *checksumMode, mode checksumMode, refusal error) {
	mode.once = false
	if !i.mode.CompareAndSwap(current, &mode) {
		return
	}
	if i.whole == nil {
		i.explain(*current, mode, refusal)
		return
	}
	if whole := i.whole.mode.Load(); whole.algorithm == current.algorithm && whole.md5 == current.md5 {
		i.whole.keep(whole, mode, refusal)
	}
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
func (i *integrity) fallback(m checksumMode, err error) (checksumMode, bool) {
	if awsaccess.Answer(err) == nil && pageOf(err) == nil {
		return m, false
	}
	if !m.md5 && strings.Contains(errorMessage(err), "Content-MD5") {
		m.md5 = true
		return m, true
	}
	if m.fixed || m.algorithm == "" || i.accepted.Load() {
		return m, false
	}
	switch status := awsaccess.Status(err); {
	case isDamaged(err):
		// Some servers say so of each body with a header that they do not know.
		if i.confirmed.Load() {
			return m, false
		}
	case status == http.StatusInternalServerError:
		// Some servers fail over a header that they do not know. By now they have
		// failed several times.
		if i.confirmed.Load() {
			return m, false
		}
		m.once = true
	case (status < 400 || status >= 500) && status != http.StatusNotImplemented, !slices.Contains(checksumRefusals, errorCode(err)):
		return m, false
	}
	m.algorithm = ""
	return m, true
}

// checksumRefusals are the codes with which servers answer a checksum header that
// they do not know.
var checksumRefusals = []string{"InvalidArgument", "InvalidRequest", "BadRequest", "NotImplemented"}

// isDamaged reports whether the server received other bytes than the payload's
// hash in the signature was made of.
func isDamaged(err error) bool { return errorCode(err) == "XAmzContentSHA256Mismatch" }

// sdkAlgorithm returns the value for the start of a multipart upload.
func (m checksumMode) sdkAlgorithm() types.ChecksumAlgorithm {
	return types.ChecksumAlgorithm(m.algorithm)
}
