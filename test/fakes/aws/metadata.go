package awsfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Machine returns the metadata service, version 2, of a machine with that role.
func (c *Cloud) Machine(role Role) http.Handler {
	const token = "metadata-token"
	c.AddRole(role)
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		seconds, err := strconv.Atoi(r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		if err != nil || seconds < 1 || seconds > 21600 {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", strconv.Itoa(seconds))
		fmt.Fprint(w, token)
	})
	get := func(path string, write func(http.ResponseWriter)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Aws-Ec2-Metadata-Token") != token {
				http.Error(w, "Unauthorized", http.StatusUnauthorized)
				return
			}
			write(w)
		})
	}
	const credentials = "/latest/meta-data/iam/security-credentials/"
	get(credentials+"{$}", func(w http.ResponseWriter) { fmt.Fprint(w, role.Name) })
	get(credentials+role.Name, func(w http.ResponseWriter) {
		keys := c.startSession(role, "i-0123456789abcdef0")
		writeJSON(w, http.StatusOK, map[string]string{
			"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": c.Now().UTC().Format(time.RFC3339),
			"AccessKeyId": keys.AccessKeyID, "SecretAccessKey": keys.SecretAccessKey, "Token": keys.SessionToken,
			"Expiration": keys.Expires.Format(time.RFC3339),
		})
	})
	get("/latest/meta-data/placement/region", func(w http.ResponseWriter) { fmt.Fprint(w, c.region) })
	get("/latest/dynamic/instance-identity/document", func(w http.ResponseWriter) {
		writeJSON(w, http.StatusOK, map[string]string{"accountId": Account, "region": c.region, "availabilityZone": c.region + "a", "instanceId": "i-0123456789abcdef0"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.Record(Call{Service: "imds", Action: r.Method + " " + r.URL.Path})
		if r.Header.Get("X-Forwarded-For") != "" {
			http.Error(w, "Forbidden", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// PodIdentity returns the endpoint that gives a pod the credentials of its role.
// token returns what the pod's token file holds now.
func (c *Cloud) PodIdentity(role Role, token func() string) http.Handler {
	c.AddRole(role)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/credentials", func(w http.ResponseWriter, r *http.Request) {
		c.Record(Call{Service: "pod-identity", Action: r.Method + " " + r.URL.Path})
		if got := r.Header.Get("Authorization"); got == "" || got != token() {
			writeJSON(w, http.StatusUnauthorized, map[string]string{"code": "InvalidTokenException", "message": "Service account token cannot be empty or is not valid"})
			return
		}
		keys := c.startSession(role, "eks-pod")
		writeJSON(w, http.StatusOK, map[string]string{
			"AccessKeyId": keys.AccessKeyID, "SecretAccessKey": keys.SecretAccessKey, "Token": keys.SessionToken,
			"AccountId": Account, "Expiration": keys.Expires.Format(time.RFC3339),
		})
	})
	return mux
}

// startSession starts a session of a role that needs no proof, as the service
// knows who asks.
func (c *Cloud) startSession(role Role, name string) Keys {
	c.mu.Lock()
	defer c.mu.Unlock()
	role = c.identity.roles[role.ARN()]
	return c.session(role, name, role.Duration)
}

func writeJSON(w http.ResponseWriter, status int, v map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
