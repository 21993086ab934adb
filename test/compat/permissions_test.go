package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// policy is an IAM policy document.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect   string
	Action   actions
	Resource string
}

// actions are one string or several.
type actions []string

func (a *actions) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = actions{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// example reads the policies that the guide offers, for a bucket.
func example(t *testing.T, bucket string, names ...string) policy {
	t.Helper()
	all := policy{Version: "2012-10-17"}
	for _, name := range names {
		text, err := os.ReadFile("../../examples/aws/policy-" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var p policy
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), "BUCKET", bucket)), &p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all.Statement = append(all.Statement, p.Statement...)
	}
	return all
}

// without returns the policy less one action.
func (p policy) without(action string) policy {
	less := policy{Version: p.Version}
	for _, s := range p.Statement {
		s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == action })
		if len(s.Action) > 0 {
			less.Statement = append(less.Statement, s)
		}
	}
	return less
}

// The policies of the guide are enough, and no action in them can be spared: the
// check then names it. Versity's server decides as AWS does.
func TestPolicies(t *testing.T) {
	server := stores.VersityGW(t)
	t.Setenv("AWS_ENDPOINT_URL_STS", server.IAMEndpoint)
	admin := iam{server.IAMEndpoint, server.AccessKey, server.SecretKey}
	s := newScene(t, awsProvider, s3EndpointOf(&server.S3Server))
	full := example(t, s.name, "backups", "tagging")

	run := func(t *testing.T, name string, p policy) (found map[string]string, failed string, err error) {
		document, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		id, secret, err := admin.user(s.ctx, name, string(document))
		if err != nil {
			t.Fatal(err)
		}
		config := maps.Clone(s.config)
		config["tagging"] = "team=backup"
		if config["credentialsFile"], err = ofAWS(s).credentials(id, secret); err != nil {
			t.Fatal(err)
		}
		checks, err := s3.New(slog.New(slog.DiscardHandler)).Checks(s.ctx, sdk.ChecksInput{Config: config})
		if err != nil {
			t.Fatal(err)
		}
		found = map[string]string{}
		for _, c := range checks {
			if found[c.Name], err = c.Run(s.ctx); err != nil {
				return found, c.Name, err
			}
		}
		return found, "", nil
	}

	found, failed, err := run(t, "complete", full)
	if err != nil {
		t.Fatalf("with the policies of the guide: %s: %v", failed, err)
	}
	if !strings.Contains(found["account"], "user/complete") || !strings.Contains(found["permissions"], "with tags") {
		t.Errorf("account %q, permissions %q", found["account"], found["permissions"])
	}
	number := 0
	for _, statement := range full.Statement {
		for _, action := range statement.Action {
			number++
			t.Run(action, func(t *testing.T) {
				found, failed, err := run(t, fmt.Sprintf("user-%d", number), full.without(action))
				step := "permissions"
				if action == "s3:ListBucket" {
					step = "bucket"
				}
				if failed != step || !errors.Is(err, s3.CodeAccessDenied) || !strings.Contains(fix(err), "allow "+action+" ") {
					t.Errorf("step %q failed with %v; found %v", failed, err, found)
				}
			})
		}
	}
	t.Run("several at once", func(t *testing.T) {
		_, _, err := run(t, "several", full.without("s3:PutObjectTagging").without("s3:DeleteObject"))
		if !strings.Contains(fix(err), "allow s3:PutObjectTagging, s3:DeleteObject ") {
			t.Error(err)
		}
	})
}

// fix is what an error tells to do.
func fix(err error) string {
	_, fix, _ := strings.Cut(fmt.Sprint(err), "; fix: ")
	return fix
}

// The guide quotes the policies, and the trust policies are ones.
func TestGuideHasThePolicies(t *testing.T) {
	text, err := os.ReadFile(awsProvider.guide)
	if err != nil {
		t.Fatal(err)
	}
	server := stores.VersityGW(t)
	admin := iam{server.IAMEndpoint, server.AccessKey, server.SecretKey}
	for _, name := range []string{"policy-backups", "trust-web-identity", "trust-pod-identity"} {
		quoted, err := os.ReadFile("../../examples/aws/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), string(quoted)) {
			t.Errorf("%s lacks %s", awsProvider.guide, name)
		}
		if name == "trust-web-identity" {
			trust := strings.NewReplacer("ACCOUNT", "000000000000", "ISSUER", "oidc.example.com").Replace(string(quoted))
			if _, err := admin.call(t.Context(), "CreateRole", "RoleName", "velero", "AssumeRolePolicyDocument", trust); err != nil {
				t.Error(err)
			}
		}
	}
}
