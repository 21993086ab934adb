package awsfake

import (
	"bytes"
	"encoding/xml"
	"net/http"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// writeEC2Error writes an error in the form that is EC2's alone.
func writeEC2Error(w http.ResponseWriter, r *fakecloud.Refusal) {
	type entry struct{ Code, Message string }
	writeXML(w, r.Status, xml.Name{Local: "Response"}, struct {
		Error     entry `xml:"Errors>Error"`
		RequestID string
	}{entry{r.Code, r.Message}, fakecloud.RequestID})
}

// writeSTSError writes an error in the form of the query protocol.
func writeSTSError(w http.ResponseWriter, r *fakecloud.Refusal) {
	type entry struct{ Type, Code, Message string }
	kind := "Sender"
	if r.Status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	writeXML(w, r.Status, xml.Name{Space: stsNamespace, Local: "ErrorResponse"}, struct {
		Error     entry
		RequestID string `xml:"RequestId"`
	}{entry{kind, r.Code, r.Message}, fakecloud.RequestID})
}

// writeS3Error writes an error in the form of S3.
func writeS3Error(w http.ResponseWriter, r *fakecloud.Refusal) {
	writeXML(w, r.Status, xml.Name{Local: "Error"}, struct {
		Code, Message string
		RequestID     string `xml:"RequestId"`
	}{r.Code, r.Message, fakecloud.RequestID})
}

func writeXML(w http.ResponseWriter, status int, name xml.Name, answer any) {
	body := bytes.NewBufferString(xml.Header)
	if err := xml.NewEncoder(body).EncodeElement(answer, xml.StartElement{Name: name}); err != nil {
		panic(err) // a mistake in this package
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("X-Amzn-Requestid", fakecloud.RequestID)
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}
