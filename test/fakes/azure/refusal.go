package azurefake

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Refusal is an error answer of Azure Resource Manager.
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

func writeError(w http.ResponseWriter, r *Refusal) {
	writeJSON(w, r.Status, map[string]any{"error": map[string]string{"code": r.Code, "message": r.Message}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Ms-Request-Id", requestID)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
