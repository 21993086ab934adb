package azurefake

import (
	"crypto/rsa"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// assertionType is that of certificates and of federated tokens.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Login returns Microsoft Entra ID for applications that sign in by themselves.
// It has to be served over TLS.
func (c *Cloud) Login() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		base := "https://" + r.Host + "/" + r.PathValue("tenant")
		if r.PathValue("tenant") != c.Tenant {
			writeLoginError(w, http.StatusBadRequest, "invalid_tenant", "AADSTS90002: Tenant '"+r.PathValue("tenant")+"' not found. Check to make sure you have the correct tenant ID, which was not found in the directory.")
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{
			"authorization_endpoint": base + "/oauth2/v2.0/authorize",
			"token_endpoint":         base + "/oauth2/v2.0/token",
			"issuer":                 base + "/v2.0",
		})
	})
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", c.token)
	return mux
}

func (c *Cloud) token(w http.ResponseWriter, r *http.Request) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err := r.ParseForm(); err != nil || kind != "application/x-www-form-urlencoded" {
		writeLoginError(w, http.StatusBadRequest, "invalid_request", "AADSTS900144: The request body is not a form.")
		return
	}
	form := map[string]string{}
	for name := range r.PostForm {
		form[name] = r.PostForm.Get(name)
	}
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		app, code, description := c.signIn(r, form)
		if app == nil {
			writeLoginError(w, http.StatusUnauthorized, code, description)
			return
		}
		token, life := c.mint(app, resourceOf(form["scope"]))
		writeJSON(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": int(life.Seconds()), "ext_expires_in": int(life.Seconds()), "access_token": token})
	})
	call := c.Record(Call{Service: "login", Action: "token", Path: r.URL.Path, Form: form, ClientID: form["client_id"]})
	c.Faults.Serve(w, r, call, serve)
}

// signIn returns the application that a request proves to be, or the error in the
// words of Entra ID. c.mu is held.
func (c *Cloud) signIn(r *http.Request, form map[string]string) (app *App, code, description string) {
	app = c.apps[form["client_id"]]
	_, hasScope := strings.CutSuffix(scopeOf(form["scope"]), "/.default")
	switch {
	case r.PathValue("tenant") != c.Tenant:
		return nil, "invalid_request", "AADSTS90002: Tenant '" + r.PathValue("tenant") + "' not found."
	case app == nil:
		return nil, "unauthorized_client", "AADSTS700016: Application with identifier '" + form["client_id"] + "' was not found in the directory 'fake'. This can happen if the application has not been installed by the administrator of the tenant."
	case form["grant_type"] != "client_credentials":
		return nil, "unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type."
	case !hasScope:
		return nil, "invalid_scope", "AADSTS1002012: The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier."
	}
	switch assertion := form["client_assertion"]; {
	case form["client_secret"] != "":
		if app.Secret == "" || form["client_secret"] != app.Secret {
			return nil, "invalid_client", "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID."
		}
	case assertion != "" && form["client_assertion_type"] == assertionType:
		if !slices.Contains(c.assertions[assertion], app.ClientID) && !c.signedByCertificate(r, app, assertion) {
			return nil, "invalid_client", "AADSTS700213: No matching federated identity record found for presented assertion."
		}
	default:
		return nil, "invalid_client", "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
	}
	return app, "", ""
}

// signedByCertificate verifies an assertion that an application has signed with
// the key of its certificate.
func (c *Cloud) signedByCertificate(r *http.Request, app *App, assertion string) bool {
	if app.Certificate == nil {
		return false
	}
	key, ok := app.Certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		return false
	}
	var claimed jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(assertion, &claimed, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{"RS256", "PS256"}), jwt.WithTimeFunc(c.Now), jwt.WithExpirationRequired(),
		jwt.WithSubject(app.ClientID), jwt.WithIssuer(app.ClientID), jwt.WithAudience("https://"+r.Host+r.URL.Path))
	return err == nil
}

// scopeOf returns the resource's scope without those of OpenID.
func scopeOf(scopes string) string {
	for scope := range strings.FieldsSeq(scopes) {
		if strings.Contains(scope, "://") {
			return scope
		}
	}
	return ""
}

// resourceOf returns the audience of tokens for a scope.
func resourceOf(scopes string) string { return strings.TrimSuffix(scopeOf(scopes), "/.default") }

func writeLoginError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]any{"error": code, "error_description": description, "correlation_id": fakecloud.RequestID})
}
