package awsfake

import (
	"encoding/xml"
	"mime"
	"net/http"
	"net/url"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// protocol is what the services that take a form and return XML differ in.
type protocol struct {
	service    string
	namespace  string
	answer     func(*http.Request, *form) (any, *fakecloud.Refusal)
	writeError func(http.ResponseWriter, *fakecloud.Refusal)
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request, p protocol) {
	body, err := readBody(r)
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	values, err := url.ParseQuery(string(body))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.Method != http.MethodPost || r.URL.Path != "/" {
		p.writeError(w, fakecloud.Refuse(http.StatusBadRequest, "MalformedQueryString", "the request is not a form that is posted to /"))
		return
	}
	f := newForm(values)
	s, _ := parseSignature(r.Header.Get("Authorization"))
	handle := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		result, refusal := p.answer(r, f)
		c.mu.Unlock()
		if refusal != nil {
			p.writeError(w, refusal)
			return
		}
		writeXML(w, http.StatusOK, xml.Name{Space: p.namespace, Local: f.action + "Response"}, result)
	})
	call := c.Record(Call{Service: p.service, Action: f.action, Form: f.values, AccessKey: s.accessKey})
	c.Faults.Serve(w, r, call, handle)
}
