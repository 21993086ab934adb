package azurefake

import (
	"encoding/json"
	"net/http"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

func writeError(w http.ResponseWriter, r *fakecloud.Refusal) {
	writeJSON(w, r.Status, map[string]any{"error": map[string]string{"code": r.Code, "message": r.Message}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Ms-Request-Id", fakecloud.RequestID)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
