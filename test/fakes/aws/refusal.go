package awsfake

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
)

// Refusal is an error answer.
type Refusal struct {
	Status        int
	Code, Message string
}

// Error implements the error interface.
func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Code, r.Message) }

func refuse(status int, code, format string, args ...any) *Refusal {
	return &Refusal{status, code, fmt.Sprintf(format, args...)}
}

// requestID is in every answer.
const requestID = "3f0a7d2c-0000-4000-8000-00000000fa4e"

// writeEC2Error writes an error in the form that is EC2's alone.
func writeEC2Error(w http.ResponseWriter, r *Refusal) {
	type entry struct{ Code, Message string }
	writeXML(w, r.Status, xml.Name{Local: "Response"}, struct {
		Error     entry `xml:"Errors>Error"`
		RequestID string
	}{entry{r.Code, r.Message}, requestID})
}

// writeSTSError writes an error in the form of the query protocol.
func writeSTSError(w http.ResponseWriter, r *Refusal) {
	type entry struct{ Type, Code, Message string }
	kind := "Sender"
	if r.Status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	writeXML(w, r.Status, xml.Name{Space: stsNamespace, Local: "ErrorResponse"}, struct {
		Error     entry
		RequestID string `xml:"RequestId"`
	}{entry{kind, r.Code, r.Message}, requestID})
}

// writeS3Error writes an error in the form of S3.
func writeS3Error(w http.ResponseWriter, r *Refusal) {
	writeXML(w, r.Status, xml.Name{Local: "Error"}, struct {
		Code, Message string
		RequestID     string `xml:"RequestId"`
	}{r.Code, r.Message, requestID})
}

func writeXML(w http.ResponseWriter, status int, name xml.Name, answer any) {
	body := bytes.NewBufferString(xml.Header)
	if err := xml.NewEncoder(body).EncodeElement(answer, xml.StartElement{Name: name}); err != nil {
		panic(err) // a mistake in this package
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}
