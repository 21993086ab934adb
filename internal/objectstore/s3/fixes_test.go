package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Each part of an upload has all its attempts, however many are on their way.
func TestAttemptsDoNotShrinkWithConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, start := newMemory(), time.Now()
		m.before = func(r *http.Request) *http.Response {
			if r.Method == http.MethodPut && time.Since(start) < 8*time.Second {
				return refuse(r, http.StatusServiceUnavailable, "SlowDown")
			}
			return nil
		}
		content := pattern(100 * memoryPart)
		if _, err := m.store(awsaccess.MaxAttempts).PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: bytes.NewReader(content)}); err != nil {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if !bytes.Equal(m.objects["k"], content) {
			t.Error("the object differs")
		}
	})
}

// When time is up the error is what the server said last.
func TestLastAnswerIsTheError(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*http.Request) *http.Response
		code   fault.Code
		text   string
	}{
		"InternalError": {func(r *http.Request) *http.Response { return refuse(r, 500, "InternalError") }, endpoint.CodeBusy, "InternalError"},
		"the page of a route": {func(r *http.Request) *http.Response {
			return respond(r, 503, "<html><h1>Application is not available</h1></html>", "Content-Type", "text/html")
		}, CodeNotStore, `HTTP 503 Service Unavailable, with the text "Application is not available"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.before = c.answer
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, err := m.store(awsaccess.MaxAttempts).ListObjects(ctx, sdk.ListObjectsInput{Bucket: memoryBucket})
				if !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.text) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error: %v", err)
				}
			})
		})
	}
}

// A store that fails over checksum headers, with a status that also means trouble.
func TestChecksumsThatMakeTheServerFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.before = func(r *http.Request) *http.Response {
			if r.Header.Get("X-Amz-Checksum-Crc32") != "" {
				return refuse(r, http.StatusInternalServerError, "InternalError")
			}
			return nil
		}
		store := m.store(3)
		for i, key := range []string{"first", "second"} {
			if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: key, Body: strings.NewReader("object")}); err != nil {
				t.Fatal(err)
			}
			if want := 4 + i; m.count(http.MethodPut, "") != want {
				t.Errorf("%d requests after %d uploads, want %d", m.count(http.MethodPut, ""), i+1, want)
			}
		}
		if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "third", Body: bytes.NewReader(pattern(4 * memoryPart))}); err != nil {
			t.Error(err)
		}
	})
	// With trouble of another kind the fix still names the setting.
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.before = func(r *http.Request) *http.Response {
			return refuse(r, http.StatusInternalServerError, "InternalError")
		}
		_, err := m.store(3).PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: strings.NewReader("object")})
		if !errors.Is(err, endpoint.CodeBusy) || !strings.Contains(err.Error(), `checksumAlgorithm to ""`) || m.count(http.MethodPut, "") != 4 {
			t.Errorf("%v, after %d requests", err, m.count(http.MethodPut, ""))
		}
	})
}

// What servers refuse, with the code and the fix that it has.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status        int
		code, message string
		want          fault.Code
		fix           string
	}{
		{403, "AccessDenied", "Access Denied.", CodeAccessDenied, "allow s3:PutObject"},
		{403, "AccessDenied", "Cannot upload files, storage cap exceeded.", CodeStorageFull, "free space"},
		{403, "QuotaExceeded", "over quota", CodeStorageFull, "raise the quota"},
		{403, "AllAccessDisabled", "all access to this object has been disabled", CodeAccount, "settle it with the provider"},
		{403, "SecondLevelDomainForbidden", "use virtual hosted style", CodeAddressing, `s3ForcePathStyle to "false"`},
		{403, "SomethingNew", "the moon is full", CodeRefused, "look up the code"},
		{403, "InvalidAccessKeyId", "unknown key", awsaccess.CodeUnknownAccessKey, "aws_access_key_id"},
		{403, "SignatureDoesNotMatch", "differs", awsaccess.CodeWrongSecretKey, "aws_secret_access_key"},
		{403, "AccessDenied", "User: arn:aws:iam::1:user/KM is not authorized to perform: kms:Decrypt", CodeKMS, "allow kms:GenerateDataKey"},
		{400, "AuthorizationHeaderMalformed", "the region 'here' is wrong; expecting 'there-2'", CodeWrongRegion, "set region to there-2"},
		{400, "EntityTooSmall", "your proposed upload is too small", CodePartSize, "multipartPartSizeMiB"},
		{501, "NotImplemented", "a header is not implemented", CodeUnsupported, `checksumAlgorithm to ""`},
		{418, "Teapot", "short and stout", CodeRefused, "look up the code"},
	} {
		t.Run(c.code+" "+c.message, func(t *testing.T) {
			m := newMemory()
			m.before = func(r *http.Request) *http.Response {
				return respond(r, c.status, "<Error><Code>"+c.code+"</Code><Message>"+c.message+"</Message></Error>")
			}
			store := m.store(1)
			store.current.Load().settings.pathStyle = true
			_, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: strings.NewReader("object")})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.fix) || !strings.Contains(err.Error(), c.code) {
				t.Errorf("error: %v", err)
			}
			if denied := c.want.ID == CodeAccessDenied.ID; strings.Contains(err.Error(), "allow s3:") != denied {
				t.Errorf("it speaks of permissions: %v", err)
			}
		})
	}
}

// The region that the server names is in the fix, wherever it names it.
func TestRegionInTheAnswer(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) *http.Response{
		"header": func(r *http.Request) *http.Response { return respond(r, 301, "", "X-Amz-Bucket-Region", "there-2") },
		"body": func(r *http.Request) *http.Response {
			return respond(r, 400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>there-2</Region></Error>")
		},
		"message": func(r *http.Request) *http.Response {
			return respond(r, 400, "<Error><Code>InvalidRequest</Code><Message>expecting 'there-2'</Message></Error>")
		},
	} {
		m := newMemory()
		m.before = answer
		_, err := m.store(1).ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: memoryBucket})
		if !errors.Is(err, CodeWrongRegion) || !strings.Contains(err.Error(), "set region to there-2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := newMemory()
	m.before = func(r *http.Request) *http.Response {
		return respond(r, 400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>\"; drop everything</Region></Error>")
	}
	if _, err := m.store(1).ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: memoryBucket}); err == nil || strings.Contains(err.Error(), "drop") {
		t.Errorf("a name that is no region: %v", err)
	}
}

// Whoever stands in front of the store is named, with its status and what to do.
func TestPagesOfProxies(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		header []string
		fix    string
	}{
		{413, "<html><head><title>413 Request Entity Too Large</title></head></html>", []string{"Server", "nginx"}, "to at least 1 MiB"},
		{302, "", []string{"Location", "https://login.example.com/"}, "correct s3Url: something at this address redirects"},
		{405, "<html>405</html>", nil, "does not know the methods"},
		{501, "", nil, "does not know the methods"},
		{502, "<html><h1>502 Bad Gateway</h1></html>", []string{"Server", "haproxy"}, "look after the store behind this proxy"},
		{404, "default backend - 404", nil, "correct s3Url"},
		{403, "<html>blocked by the firewall</html>", nil, "correct s3Url"},
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			m := newMemory()
			m.before = func(r *http.Request) *http.Response { return respond(r, c.status, c.body, c.header...) }
			store := m.store(1)
			_, putErr := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: strings.NewReader("object")})
			_, listErr := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: memoryBucket})
			_, getErr := get(t, store, "k")
			for what, err := range map[string]error{"put": putErr, "list": listErr, "get": getErr} {
				if !errors.Is(err, CodeNotStore) || !strings.Contains(err.Error(), c.fix) || !strings.Contains(err.Error(), fmt.Sprint("HTTP ", c.status)) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// A request over plain HTTP to a port that speaks TLS is told so at once, whatever
// way the server has to say it.
func TestPlainHTTPWhereTLSIsSpoken(t *testing.T) {
	for _, text := range []string{
		"Client sent an HTTP request to an HTTPS server.\n", "<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>",
	} {
		m := newMemory()
		m.before = func(r *http.Request) *http.Response { return respond(r, http.StatusBadRequest, text) }
		_, err := m.store(awsaccess.MaxAttempts).ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: memoryBucket})
		if !errors.Is(err, endpoint.CodeNotTLS) || !strings.Contains(err.Error(), "correct the scheme or the port of s3Url") || m.count("GET", "") != 1 {
			t.Errorf("%v, after %d requests", err, m.count("GET", ""))
		}
	}
}

// A location that fails does so within 15 s, whatever is wrong, with a code and a
// fix: Velero validates one location after the other.
func TestValidationEndsSoon(t *testing.T) {
	stall := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	slowly := func(then error) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			select {
			case <-r.Context().Done():
				return nil, r.Context().Err()
			case <-time.After(4 * time.Second):
				return nil, then
			}
		}
	}
	static := func(status int, body string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) { return respond(r, status, body), nil }
	}
	fails := func(err error) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	dial := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for name, c := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		code   fault.Code
	}{
		"no answer":                 {stall, endpoint.CodeUnreachable},
		"a dropped packet":          {slowly(&net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}), endpoint.CodeUnreachable},
		"slow DNS":                  {slowly(&net.DNSError{Err: "server misbehaving", Name: "store", IsTimeout: true}), endpoint.CodeUnresolvable},
		"refused":                   {fails(dial), endpoint.CodeRefused},
		"reset":                     {fails(&net.OpError{Op: "read", Err: syscall.ECONNRESET}), endpoint.CodeUnreachable},
		"503":                       {static(503, "<Error><Code>SlowDown</Code></Error>"), endpoint.CodeBusy},
		"500":                       {static(500, "<Error><Code>InternalError</Code></Error>"), endpoint.CodeBusy},
		"500 without a body":        {static(500, ""), endpoint.CodeBusy},
		"429":                       {static(429, "<Error><Code>TooManyRequests</Code></Error>"), endpoint.CodeBusy},
		"a route without a pod":     {static(503, "<html><h1>Application is not available</h1></html>"), CodeNotStore},
		"a web console":             {static(200, "<!DOCTYPE html><title>MinIO Console</title>"), CodeNotStore},
		"JSON":                      {static(200, `{"version": 1}`), CodeNotStore},
		"an empty answer":           {static(200, ""), CodeNotStore},
		"a cut answer":              {static(200, "<ListBucketResult><Contents>"), CodeFalseAnswer},
		"no permission":             {static(403, "<Error><Code>AccessDenied</Code></Error>"), CodeAccessDenied},
		"unknown code":              {static(400, "<Error><Code>Odd</Code></Error>"), CodeRefused},
		"a list that never goes on": {static(200, "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"), CodeFalseAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.after = func(r *http.Request, _ *http.Response) (*http.Response, error) { return c.answer(r) }
				store := m.store(awsaccess.MaxAttempts)
				start := time.Now()
				_, err := store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: memoryBucket, Delimiter: "/"})
				took := time.Since(start)
				if took > 15*time.Second || !errors.Is(err, c.code) || !strings.Contains(err.Error(), "fix: ") {
					t.Errorf("after %v: %v", took, err)
				}
				t.Logf("%v: %v", took.Round(time.Second/10), err)
			})
		})
	}
}

// No fix names a step that cannot help with the configuration.
func TestFixesFitTheConfiguration(t *testing.T) {
	type keys = map[string]string
	configs := []keys{
		{"bucket": "b"},
		{"bucket": "b", "region": "eu-west-1"},
		{"bucket": "b", "region": "r", "s3Url": "https://store.example.com"},
		{"bucket": "b", "region": "r", "s3Url": "https://store.example.com", "s3ForcePathStyle": "true"},
		{"bucket": "b", "s3Url": "https://b.store.example.com"},
		{"bucket": "b", "s3Url": "http://store.example.com", "checksumAlgorithm": ""},
		{"bucket": "b", "kmsKeyId": "key"},
		{"bucket": "b", "serverSideEncryption": "AES256", "storageClass": "STANDARD_IA", "acl": "private", "tagging": "a=b"},
	}
	for _, config := range configs {
		set, err := parseSettings(config)
		if err != nil {
			t.Fatal(err)
		}
		l := &location{
			settings: set, region: "eu-west-1", integrity: newIntegrity(set.checksum, nil), encryption: set.encryption,
			tagging: optional(set.tagging), storageClass: set.storageClass, acl: set.acl,
		}
		for _, code := range append(append(Codes[:len(Codes):len(Codes)], endpoint.Codes...), awsaccess.Codes...) {
			fix := l.fix(code, errors.New("an error"))
			if fix == "" {
				if fix = set.names().Fix(code); fix == "" {
					fix = code.Fix
				}
			}
			if fix == "" {
				t.Errorf("%s has no fix", code.ID)
			}
			for _, rule := range []struct {
				text    string
				allowed bool
			}{
				{"remove it to have it discovered", config["region"] != "" && config["s3Url"] == ""},
				{"s3Url", config["s3Url"] != ""},
				{`s3ForcePathStyle to "true"`, config["s3ForcePathStyle"] == ""},
				{`s3ForcePathStyle to "false"`, config["s3ForcePathStyle"] != ""},
				{`checksumAlgorithm to ""`, set.checksum.algorithm != ""},
				{"kmsKeyId", config["kmsKeyId"] != ""},
				{"serverSideEncryption", config["serverSideEncryption"] != ""},
				{"remove tagging", config["tagging"] != ""},
				{"correct region", config["region"] != ""},
				{"the name of the bucket from the host", strings.HasPrefix(config["s3Url"], "https://b.")},
			} {
				if strings.Contains(fix, rule.text) && !rule.allowed {
					t.Errorf("%v: the fix of %s names %q: %s", config, code.ID, rule.text, fix)
				}
			}
		}
	}
}
