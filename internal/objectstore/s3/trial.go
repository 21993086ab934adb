package s3

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// permissions makes each request that a backup, its restore and its deletion
// make, on an object of its own, and names all actions that are not allowed.
func (c *checker) permissions(ctx context.Context) (string, error) {
	l, bucket := c.location, c.settings.bucket
	key := "plugins/check-" + rand.Text()
	if c.settings.prefix != "" {
		key = c.settings.prefix + "/" + key
	}
	t := &trial{location: l, bucket: bucket, key: key}
	t.upload(ctx)
	t.multipart(ctx)
	t.try("GetObject", t.download(ctx))
	found := ""
	if t.written && t.failure == nil && t.denied == nil {
		client, err := c.store.clients.For(c.settings.trust)
		if err == nil {
			found, err = t.signedURL(ctx, client.HTTP())
		}
		t.try("GetObject", err)
	}
	t.try("DeleteObject", t.remove(ctx))
	switch {
	case len(t.denied) > 0:
		return "", t.fault()
	case t.failure != nil:
		return "", l.explain("error trying the permissions on bucket "+bucket+t.leftBehind(), t.failure)
	}
	return "put, multipart upload and abort, get and delete are allowed" + t.options() + found, nil
}

// trial tries what the credentials are allowed to do with one object.
type trial struct {
	*location
	bucket, key string

	written bool     // the object is there
	denied  []string // IAM actions
	refusal error    // the first denial
	left    []string // what could not be removed
	failure error    // the first error that is no denial
}

// try notes the outcome of an operation.
func (t *trial) try(operation string, err error) {
	switch {
	case err == nil:
	case isDenied(err):
		t.deny(err, t.actions(operation)[0])
	case t.failure == nil:
		t.failure = err
	}
}

// deny notes actions, or the one that the server names in their place.
func (t *trial) deny(err error, actions ...string) {
	if named := deniedAction(err); named != "" {
		actions = []string{named}
	}
	for _, action := range actions {
		if !slices.Contains(t.denied, action) {
			t.denied = append(t.denied, action)
		}
	}
	if t.refusal == nil {
		t.refusal = err
	}
}

const trialBody = "written by a check of this location; it can be deleted\n"

// without returns an upload that needs none of the given actions.
func (t *trial) without(actions ...string) *upload {
	l := *t.location
	if slices.Contains(actions, "s3:PutObjectTagging") {
		l.tagging = nil
	}
	if slices.Contains(actions, "s3:PutObjectAcl") {
		l.acl = ""
	}
	return &upload{location: &l, bucket: t.bucket, key: t.key}
}

// upload puts the object as it is configured. When that is denied, it goes
// without each option, and without all of them: what helps is what is not
// allowed.
func (t *trial) upload(ctx context.Context) {
	err := t.without().Put(ctx, []byte(trialBody))
	t.written = err == nil
	if !isDenied(err) || deniedAction(err) != "" {
		t.try("PutObject", err)
		return
	}
	options := t.actions("PutObject")[1:]
	for _, some := range append(slices.Collect(slices.Chunk(options, 1)), options) {
		if len(some) > 0 && t.without(some...).Put(ctx, []byte(trialBody)) == nil {
			t.written = true
			t.deny(err, some...)
			return
		}
	}
	t.deny(err, "s3:PutObject")
}

// multipart completes an upload of one part, for which a KMS key has to be read
// as well, and aborts another. The part has its full size, as proxies limit the
// size of requests. Without the permission to put nothing begins.
func (t *trial) multipart(ctx context.Context) {
	if !t.written {
		return
	}
	options := t.actions("CreateMultipartUpload") // the single request has tried them
	u := t.without(options...)
	err := u.Begin(ctx)
	if err == nil {
		var part types.CompletedPart
		if part, err = u.Part(ctx, 1, t.partBody()); err == nil {
			err = u.Commit(ctx, []types.CompletedPart{part})
		}
		if err != nil {
			t.abort(ctx, u)
		}
	}
	t.try("CompleteMultipartUpload", err)

	u = t.without(options...)
	if err = u.Begin(ctx); err == nil {
		t.abort(ctx, u)
	}
}

// partBody begins with the body of the trial and has the size of a part.
func (t *trial) partBody() []byte {
	body := make([]byte, max(t.pool.Size(), len(trialBody)))
	copy(body, trialBody)
	return body
}

// signedURL fetches the object by a signed URL, as velero backup logs does, and
// says what it found. An address of publicUrl may not be reachable from here.
func (t *trial) signedURL(ctx context.Context, client *http.Client) (found string, err error) {
	what := "error fetching object " + t.key + " by its signed URL, as velero backup logs and velero backup download do"
	signed, err := t.sign(ctx, t.bucket, t.key, time.Minute)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, signed, nil)
	if err != nil {
		return "", err
	}
	if key := t.encryption.customer; key.key != nil {
		request.Header.Set("X-Amz-Server-Side-Encryption-Customer-Algorithm", *key.algorithm)
		request.Header.Set("X-Amz-Server-Side-Encryption-Customer-Key", *key.key)
		request.Header.Set("X-Amz-Server-Side-Encryption-Customer-Key-Md5", *key.md5)
	}
	resp, err := client.Do(request)
	if err != nil {
		err = t.settings.names().Fault(what, err)
		if t.settings.publicEndpoint != "" {
			return "; publicUrl cannot be reached from here, which is no fault if those who run velero backup logs can reach it: " + err.Error(), nil
		}
		return "", err
	}
	document, err := answer.ReadDocument(resp)
	if err != nil {
		return "", t.settings.names().Fault(what, err)
	}
	if resp.StatusCode == http.StatusOK && strings.HasPrefix(string(document.Content), trialBody) {
		return "; a signed URL works", nil
	}
	f := &fault.Error{Code: CodeSignedURL, What: what, Err: answer.PageOf(resp, document)}
	var body struct{ Code, Message string }
	if document.Root() == "Error" && xml.Unmarshal(document.Content, &body) == nil {
		f.Err = fmt.Errorf("%s: %s (HTTP %d)", body.Code, body.Message, resp.StatusCode)
	}
	if t.settings.publicEndpoint != "" {
		f.Fix = "correct publicUrl in the config of the location: it must be an address of the same store, and a proxy there must keep the Host header and the query as they are"
	}
	return "", f
}

func (t *trial) abort(ctx context.Context, u *upload) {
	err := u.Abort(ctx)
	if err != nil {
		t.left = append(t.left, "a multipart upload of "+t.key)
	}
	t.try("AbortMultipartUpload", err)
}

func (t *trial) download(ctx context.Context) error {
	d := &download{location: t.location, bucket: t.bucket, key: t.key}
	body, err := d.open(ctx, transfer.Range{Length: int64(t.pool.Size())}, "")
	switch {
	case err == nil:
		return body.Close()
	case !t.written && awsaccess.Status(err) == http.StatusNotFound:
		return nil // it may be read, only it is not there
	}
	return err
}

func (t *trial) remove(ctx context.Context) error {
	err := t.delete(ctx, t.bucket, t.key)
	if err != nil && t.written {
		t.left = append(t.left, t.key)
	}
	return err
}

// fault names everything that is missing.
func (t *trial) fault() error {
	code := CodeAccessDenied
	if strings.HasPrefix(t.denied[0], "kms:") {
		code = CodeKMS
	}
	what := fmt.Sprintf("not allowed on the objects of bucket %s: %s", t.bucket, strings.Join(t.denied, ", "))
	return &fault.Error{Code: code, What: what + t.leftBehind(), Err: awsaccess.Plain(t.refusal), Fix: "allow " + strings.Join(t.denied, ", ") + policies}
}

func (t *trial) leftBehind() string {
	if t.left == nil {
		return ""
	}
	return " (left behind: " + strings.Join(t.left, ", ") + ")"
}

// options says what else the uploads had.
func (t *trial) options() string {
	var with []string
	if t.tagging != nil {
		with = append(with, "tags")
	}
	if t.acl != "" {
		with = append(with, "an ACL")
	}
	if t.encryption.present() {
		with = append(with, "encryption")
	}
	if with == nil {
		return ""
	}
	return ", with " + strings.Join(with, " and ")
}
