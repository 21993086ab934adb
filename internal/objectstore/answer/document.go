package answer

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Limits of documents, in bytes. A list has at most some thousand keys of a
// kibibyte.
const (
	maxDocument = 64 << 20
	maxPage     = 1 << 20
)

// Document is a body that was read to its end.
type Document struct {
	*bytes.Reader
	Content []byte
}

// Close implements io.Closer.
func (*Document) Close() error { return nil }

// ReadDocument reads the body of an answer that is no object: a list, a result or
// an error. It undoes a compression that nobody asked for, and puts a [Document]
// in the place of the body. A body that ends too early is an error.
func ReadDocument(r *http.Response) (*Document, error) {
	limit := int64(maxDocument)
	if r.StatusCode >= http.StatusMultipleChoices {
		limit = maxPage // the rest of an error page would say nothing more
	}
	body := io.Reader(r.Body)
	if HeadOf(r).Encoding() == "gzip" {
		body = &gunzip{content: r.Body}
		r.Header.Del("Content-Encoding")
		r.ContentLength = -1
	}
	content, err := io.ReadAll(io.LimitReader(body, limit+1))
	_ = r.Body.Close()
	switch {
	case err != nil:
		return nil, fmt.Errorf("error reading the answer of the server: %w", err)
	case int64(len(content)) > limit && r.StatusCode < http.StatusMultipleChoices:
		return nil, fmt.Errorf("the answer of the server is larger than %d bytes", limit)
	}
	d := &Document{bytes.NewReader(content), content}
	r.Body = d
	return d, nil
}

// Root returns the name of the first XML element, "ListBucketResult" for example,
// or "" if there is none. Blanks may come before it: stores send them to keep the
// connection alive.
func (d *Document) Root() string {
	decoder := xml.NewDecoder(bytes.NewReader(d.Content))
	for {
		token, err := decoder.Token()
		if err != nil {
			return ""
		}
		if start, ok := token.(xml.StartElement); ok {
			return start.Name.Local
		}
	}
}

// Page is the error for an answer that no store wrote: the page of an ingress, a
// proxy, a login or a web console.
type Page struct {
	Status   int
	Server   string // header Server, may be empty
	Location string // host that a redirect points to, may be empty
	Title    string // first words of the page, may be empty
}

// PageOf describes an answer that no store wrote.
func PageOf(r *http.Response, d *Document) *Page {
	p := &Page{Status: r.StatusCode, Server: words(r.Header.Get("Server"), 40)}
	if u, err := url.Parse(r.Header.Get("Location")); err == nil {
		p.Location = words(u.Host, 80)
	}
	if d != nil {
		p.Title = title(d.Content)
	}
	return p
}

// Error implements the error interface.
func (p *Page) Error() string {
	text := fmt.Sprintf("HTTP %d %s", p.Status, http.StatusText(p.Status))
	if p.Server != "" {
		text += fmt.Sprintf(" from the server %q", p.Server)
	}
	if p.Location != "" {
		text += fmt.Sprintf(", a redirect to %q", p.Location)
	}
	if p.Title != "" {
		return text + fmt.Sprintf(", with the text %q, which is not the answer of an object store", p.Title)
	}
	return text + ", which is not the answer of an object store"
}

// Fix returns what the administrator can do about an answer of this kind. part is
// the size of the largest request in bytes, and key the config key with the
// address of the store, "" if the configuration does not have one.
func (p *Page) Fix(key string, part int) string {
	correct := "correct " + key + ": "
	if key == "" {
		correct = "look for a proxy or a firewall between Velero and the store, and let it pass the requests: "
	}
	switch p.Status {
	case http.StatusRequestEntityTooLarge:
		const mib = 1 << 20
		return fmt.Sprintf("raise the limit on the size of a request body in the proxy or ingress in front of the store to at least %d MiB, "+
			"the size of one part (nginx: client_max_body_size, its ingress: the annotation nginx.ingress.kubernetes.io/proxy-body-size)", (part+mib-1)/mib)
	case http.StatusProxyAuthRequired:
		return "give the proxy's user and password in HTTPS_PROXY, or add the store to NO_PROXY"
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return correct + "something at this address redirects, a login page or a switch from http to https for example, and requests for objects cannot follow"
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return correct + "a server or proxy at this address does not know the methods GET, HEAD, PUT, POST and DELETE of an object store"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "look after the store behind this proxy or route: it is not running, not ready or too slow, or the route points elsewhere"
	}
	return correct + "this is the address of a web console, a proxy or another service, not that of the object store"
}

var (
	titleElement = regexp.MustCompile(`(?is)<(?:title|h1)[^>]*>(.*?)</(?:title|h1)>`)
	anyElement   = regexp.MustCompile(`(?s)<[^>]*>`)
)

// title returns the first words of a page, which may be of HTML, JSON or text.
func title(content []byte) string {
	const look = 4 << 10
	head := content[:min(len(content), look)]
	if m := titleElement.FindSubmatch(head); m != nil {
		head = m[1]
	}
	return words(string(anyElement.ReplaceAll(head, []byte(" "))), 80)
}

// words returns the printable text of s on one line, cut to some characters.
func words(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit]) + "..."
	}
	return s
}

// IsOneOf reports whether the first element of the document has one of the names.
func (d *Document) IsOneOf(roots ...string) bool { return slices.Contains(roots, d.Root()) }
