package azurefake

import (
	"net/http"
	"strconv"
)

// identityVersion is the version of the endpoint of managed identities.
const identityVersion = "2019-08-01"

// ManagedIdentity returns the endpoint of IDENTITY_ENDPOINT, which takes the
// header X-IDENTITY-HEADER with the value of IDENTITY_HEADER. system is the
// identity for requests that name none, "" for none.
func (c *Cloud) ManagedIdentity(header, system string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		clientID := query.Get("client_id")
		serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if clientID == "" {
				clientID = system
			}
			app := c.apps[clientID]
			switch {
			case r.Method != http.MethodGet || r.Header.Get("X-IDENTITY-HEADER") != header || header == "":
				writeLoginError(w, http.StatusUnauthorized, "unauthorized", "the header X-IDENTITY-HEADER is wrong")
				return
			case query.Get("api-version") != identityVersion || query.Get("resource") == "":
				writeLoginError(w, http.StatusBadRequest, "bad_request", "api-version and resource are required")
				return
			case app == nil:
				writeLoginError(w, http.StatusBadRequest, "invalid_request", "Identity not found")
				return
			}
			token, life := c.mint(app, query.Get("resource"))
			writeJSON(w, http.StatusOK, map[string]string{
				"access_token": token, "client_id": app.ClientID, "resource": query.Get("resource"), "token_type": "Bearer",
				"expires_on": strconv.FormatInt(c.Now().Add(life).Unix(), 10),
			})
		})
		call := c.Record(Call{Service: "identity", Action: "token", Path: r.URL.Path, ClientID: clientID})
		c.Faults.Serve(w, r, call, serve)
	})
}
