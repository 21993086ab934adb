package azurefake

import (
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// App is an application of Microsoft Entra ID, or a managed identity. It gets
// tokens with any of its credentials.
type App struct {
	ClientID    string            // made up when empty
	Secret      string            // "" for none
	Certificate *x509.Certificate // nil for none
	// TokenLife is how long its tokens are valid, an hour when 0.
	TokenLife time.Duration
}

// AddApp adds an application and returns it with its client id.
func (c *Cloud) AddApp(a App) App {
	if a.ClientID == "" {
		a.ClientID = uuid.NewString()
	}
	if a.TokenLife == 0 {
		a.TokenLife = time.Hour
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apps[a.ClientID] = &a
	return a
}

// RemoveApp removes an application or managed identity.
func (c *Cloud) RemoveApp(clientID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.apps, clientID)
}

// Trust lets an application get tokens with the token of a service account.
func (c *Cloud) Trust(token, clientID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.assertions[token] = append(c.assertions[token], clientID)
}

// Expire makes the token of a service account useless.
func (c *Cloud) Expire(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.assertions, token)
}

// claims are those of a token.
type claims struct {
	jwt.RegisteredClaims
	Resource string `json:"aud"` // as text, and not as a list
	AppID    string `json:"appid"`
	ObjectID string `json:"oid"`
	Tenant   string `json:"tid"`
}

// mint returns a token for a resource, such as https://management.azure.com/.
// c.mu is held.
func (c *Cloud) mint(app *App, resource string) (token string, life time.Duration) {
	now := c.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    "https://sts.windows.net/" + c.Tenant + "/",
			Subject:   app.ClientID,
			IssuedAt:  jwt.NewNumericDate(now.Add(-time.Minute)),
			NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)),
			ExpiresAt: jwt.NewNumericDate(now.Add(app.TokenLife)),
		},
		Resource: resource, AppID: app.ClientID, ObjectID: app.ClientID, Tenant: c.Tenant,
	}).SignedString(c.key)
	if err != nil {
		panic(err) // a mistake in this package
	}
	return token, app.TokenLife
}

// bearer returns who sent a request to a resource. c.mu is held.
func (c *Cloud) bearer(r *http.Request, resources ...string) (*App, *fakecloud.Refusal) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, fakecloud.Refuse(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	var claimed claims
	_, err := jwt.ParseWithClaims(text, &claimed, func(*jwt.Token) (any, error) { return c.key, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(c.Now), jwt.WithExpirationRequired())
	app := c.apps[claimed.AppID]
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, fakecloud.Refuse(http.StatusUnauthorized, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.")
	case err != nil:
		return nil, fakecloud.Refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid.")
	case !slices.Contains(resources, strings.TrimRight(claimed.Resource, "/")):
		return nil, fakecloud.Refuse(http.StatusUnauthorized, "InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource '%s'.", claimed.Resource)
	case app == nil:
		return nil, fakecloud.Refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is of nobody.")
	}
	return app, nil
}
