package incluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// The token of a service account opens a role of the store, as on OpenShift with
// STS and on EKS: the API server issues it, and MinIO's STS verifies it.
func testWebIdentity(t *testing.T, cluster *stack.ControlPlane, minio *stack.MinIO) {
	namespace := cluster.NewNamespace(t)
	addServiceAccount(t, cluster, namespace)
	bucket := minio.NewBucket(t)
	t.Setenv("AWS_ENDPOINT_URL_STS", minio.TLSEndpoint)
	dir := t.TempDir()
	tokenFile := write(t, filepath.Join(dir, "token"), []byte(token(t, cluster, namespace, stack.TokenAudience)))
	foreignFile := write(t, filepath.Join(dir, "foreign"), []byte(token(t, cluster, namespace, "somebody-else")))
	t.Setenv(credpolicy.TokenFilesVariable, tokenFile+","+foreignFile)
	// What OpenShift's cloud credential operator writes.
	secret := func(tokenFile string) string {
		return fmt.Sprintf("[default]\nsts_regional_endpoints = regional\nrole_arn = %s\nweb_identity_token_file = %s\n", minio.RoleARN, tokenFile)
	}

	t.Run("file", func(t *testing.T) {
		config := location(minio, bucket)
		config["credentialsFile"] = write(t, filepath.Join(dir, "credentials"), []byte(secret(tokenFile)))
		config["enableSharedConfig"] = "true"
		store, err := newStore(t, config)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, store, bucket, "file")
		found, failed, err := check(t, config)
		if err != nil || found["credentials"] != "web identity token" || !strings.HasPrefix(found["account"], "unknown: ") {
			t.Errorf("check: %s: %v; found %v", failed, err, found)
		}
	})
	t.Run("environment", func(t *testing.T) {
		t.Setenv("AWS_ROLE_ARN", minio.RoleARN)
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", tokenFile)
		store, err := newStore(t, location(minio, bucket))
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, store, bucket, "environment")
	})
	t.Run("token for somebody else", func(t *testing.T) {
		config := location(minio, bucket)
		config["credentialsFile"] = write(t, filepath.Join(dir, "wrong"), []byte(secret(foreignFile)))
		_, err := newStore(t, config)
		if !errors.Is(err, awsaccess.CodeWebIdentity) || !strings.Contains(err.Error(), foreignFile) ||
			!strings.Contains(err.Error(), `audience ["somebody-else"]`) {
			t.Errorf("error: %v", err)
		}
	})
}
