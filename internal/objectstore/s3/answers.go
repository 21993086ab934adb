package s3

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
)

// results are the first XML elements of the answers that have a document, by
// operation. The SDK takes an empty body, or a page of HTML, for a result with
// nothing in it: a list without objects, or an upload that was completed.
var results = map[string][]string{
	"ListObjects":             {"ListBucketResult"},
	"ListObjectsV2":           {"ListBucketResult"},
	"CreateMultipartUpload":   {"InitiateMultipartUploadResult", "InitiateMultipartUpload"}, // the second by gofakes3, which rclone serves with
	"CompleteMultipartUpload": {"CompleteMultipartUploadResult"},
}

// verified is an HTTP client that reads documents to their end, so that one that
// was cut counts as a broken connection, and rejects those that no store wrote.
type verified struct{ client aws.HTTPClient }

// Do implements aws.HTTPClient. An answer that no store wrote is an
// [answer.Page].
func (v verified) Do(r *http.Request) (*http.Response, error) {
	resp, err := v.client.Do(r)
	if err != nil {
		return resp, err
	}
	expected, hasResult := results[awsmiddleware.GetOperationName(r.Context())]
	failed := resp.StatusCode >= http.StatusMultipleChoices
	if !failed && !hasResult {
		return resp, nil
	}
	document, err := answer.ReadDocument(resp)
	switch {
	case err != nil:
		return nil, err
	case failed:
		return resp, nil // pageOf finds the document again
	}
	switch root := document.Root(); {
	case slices.Contains(expected, root):
		return resp, nil
	case root == "Error":
		// S3 begins to answer long before an upload is complete, so it says late
		// that there was an error.
		resp.StatusCode = http.StatusInternalServerError
		return resp, nil
	}
	return nil, answer.PageOf(resp, document)
}

// pageOf returns the answer to a request if it comes from something in front of
// the store, or from a server that is none; else nil.
func pageOf(err error) *answer.Page {
	var page *answer.Page
	if errors.As(err, &page) {
		return page
	}
	var failure *awshttp.ResponseError
	if !errors.As(err, &failure) || failure.Response == nil || failure.Response.Response == nil {
		return nil
	}
	resp := failure.Response.Response
	document, ok := resp.Body.(*answer.Document)
	switch {
	case !ok || fromStore(resp.Header) || wantsTLS(document):
		return nil
	case resp.Request != nil && resp.Request.Method == http.MethodHead:
		// There is no text, only what kind it would have been.
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/") {
			return nil
		}
	case document.Root() == "Error", document.Root() == "ErrorResponse":
		return nil
	case len(document.Content) == 0 && !onlyFromProxies(resp.StatusCode):
		return nil
	}
	return answer.PageOf(resp, document)
}

// wantsTLS reports whether an answer is that of a server which speaks TLS on this
// port, and got a request over plain HTTP.
func wantsTLS(d *answer.Document) bool {
	text := string(d.Content)
	return strings.Contains(text, "HTTP request to an HTTPS server") || // Go
		strings.Contains(text, "plain HTTP request was sent to HTTPS port") || // nginx
		strings.Contains(text, "speaking plain HTTP to an SSL-enabled server port") // Apache
}

// isNotTLS reports whether such an answer came.
func isNotTLS(err error) bool {
	var failure *awshttp.ResponseError
	if !errors.As(err, &failure) || failure.Response == nil || failure.Response.Response == nil {
		return false
	}
	document, ok := failure.Response.Body.(*answer.Document)
	return ok && failure.HTTPStatusCode() == http.StatusBadRequest && wantsTLS(document)
}

// onlyFromProxies reports whether stores do not answer with a status, or not
// without an explanation.
func onlyFromProxies(status int) bool {
	switch status {
	case http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
		http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusRequestEntityTooLarge,
		http.StatusNotImplemented, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// fromStore reports whether an answer has a header that only S3 and its relatives
// send, such as x-amz-request-id.
func fromStore(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-") {
			return true
		}
	}
	return false
}

// headOf returns the head of the answer that the SDK made a result of.
func headOf(metadata middleware.Metadata) answer.Head {
	resp, ok := awsmiddleware.GetRawResponse(metadata).(*smithyhttp.Response)
	if !ok {
		return answer.Head{Length: -1}
	}
	return answer.HeadOf(resp.Response)
}

// errNoETag reports a success without an entity tag. S3 sends one for each object
// and each part.
var errNoETag = errors.New("the server answered without an ETag, as no S3 server does")

// isObject reports whether an answer is about an object of a store: the pages of
// a web console exist under each name.
func isObject(h answer.Head) bool { return h.Version() != "" || fromStore(h.Header) }

// lastAnswer makes a request that ends with its deadline fail with what the
// server said last, which tells more than that time is up.
func lastAnswer(stack *middleware.Stack) error {
	if _, ok := stack.Finalize.Get("Retry"); !ok {
		return nil // a presigned request is not sent
	}
	type key struct{}
	if err := stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("ReportLastAnswer", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		var last error
		out, metadata, err := next.HandleFinalize(context.WithValue(ctx, key{}, &last), in)
		if err != nil && last != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = last
		}
		return out, metadata, err
	}), "Retry", middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("KeepLastAnswer", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleFinalize(ctx, in)
		if last, ok := ctx.Value(key{}).(*error); ok && err != nil && ctx.Err() == nil {
			*last = err
		}
		return out, metadata, err
	}), "Retry", middleware.After)
}

// retryer does not repeat requests that something else than the store answered.
type retryer struct{ aws.RetryerV2 }

func (r retryer) IsErrorRetryable(err error) bool {
	var page *answer.Page
	return !errors.As(err, &page) && r.RetryerV2.IsErrorRetryable(err)
}
