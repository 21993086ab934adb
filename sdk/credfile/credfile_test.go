package credfile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

func TestReadAWS(t *testing.T) {
	keys := &credfile.AWS{Profile: "default", AccessKeyID: "AKIA", SecretAccessKey: "s/e=c+r=="}
	role := &credfile.AWS{Profile: "default", RoleARN: "arn:aws:iam::1:role/r", WebIdentityTokenFile: "/var/run/token", Region: "us-east-1"}
	for _, c := range []struct {
		what, text, profile string
		want                *credfile.AWS
	}{
		{"plain", "[default]\naws_access_key_id=AKIA\naws_secret_access_key=s/e=c+r==\n", "default", keys},
		{"CRLF", "[default]\r\naws_access_key_id=AKIA\r\naws_secret_access_key=s/e=c+r==\r\n", "default", keys},
		{"old line ends", "[default]\raws_access_key_id=AKIA\raws_secret_access_key=s/e=c+r==", "default", keys},
		{"byte order mark", "\ufeff[default]\naws_access_key_id=AKIA\naws_secret_access_key=s/e=c+r==", "default", keys},
		{"spaces", " [ default ] \n  aws_access_key_id =  AKIA \n\taws_secret_access_key\t= s/e=c+r== \n", "default", keys},
		{"quotes", "[\"default\"]\naws_access_key_id = \"AKIA\"\naws_secret_access_key = 's/e=c+r=='\n", "default", keys},
		{"upper case", "[default]\nAWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY=s/e=c+r==\n", "default", keys},
		{"comments", "# c\n[default] # c\n; c\naws_access_key_id=AKIA # c\naws_secret_access_key=s/e=c+r== ; c\n", "default", keys},
		{"foreign lines", "what is this\n[default]\nnonsense\naws_access_key_id=AKIA\naws_secret_access_key=s/e=c+r==\n", "default", keys},
		{"section twice", "[default]\naws_access_key_id=AKIA\n[a]\nx=y\n[default]\naws_secret_access_key=s/e=c+r==\n", "default", keys},
		{"nested settings", "[default]\naws_access_key_id=AKIA\ns3 =\n  aws_access_key_id = wrong\naws_secret_access_key=s/e=c+r==\n", "default", keys},
		{"nested below an indented setting", "[default]\n  aws_access_key_id=AKIA\n  s3 =\n    aws_access_key_id = wrong\n  aws_secret_access_key=s/e=c+r==\n", "default", keys},
		{"config form", "[profile  \"default\"]\naws_access_key_id=AKIA\naws_secret_access_key=s/e=c+r==\n", "default", keys},
		{"both forms", "[profile default]\naws_access_key_id=old\naws_secret_access_key=s/e=c+r==\n[default]\naws_access_key_id=AKIA\n", "default", keys},
		{"role", "[default]\nrole_arn = arn:aws:iam::1:role/r\nweb_identity_token_file = /var/run/token\nsts_regional_endpoints = regional\nregion = us-east-1\n", "default", role},
		{"session", "[p]\naws_access_key_id=A\naws_secret_access_key=B\naws_session_token=C\n", "p",
			&credfile.AWS{Profile: "p", AccessKeyID: "A", SecretAccessKey: "B", SessionToken: "C"}},
		{"delegation", "[p]\nrole_arn=r\nsource_profile=default\n", "p", &credfile.AWS{Profile: "p", RoleARN: "r", Delegation: "source_profile"}},
	} {
		got, err := credfile.ReadAWS([]byte(c.text), c.profile)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", c.what, got, err)
		}
	}
}

func TestReadAWSErrors(t *testing.T) {
	for _, c := range []struct {
		what, text string
		code       fault.Code
		parts      []string
	}{
		{"other profiles", "[b]\nx=y\n[profile a]\nx=y\n[a]", credfile.ProfileMissing, []string{`"default"`, `["a" "b"]`}},
		{"empty", "", credfile.ProfileMissing, []string{`"default"`}},
		{"no section", "\naws_access_key_id=HIDE\naws_secret_access_key=HIDE", credfile.Malformed, []string{"line 2"}},
		{"section without an end", "# c\n[default\naws_access_key_id=HIDE", credfile.Malformed, []string{"line 2"}},
		{"colon", "[default]\naws_access_key_id=HIDE\naws_secret_access_key: HIDE", credfile.Malformed, []string{"line 3", "aws_secret_access_key"}},
		{"no secret key", "[default]\naws_access_key_id=HIDE\naws_secret_access_key=", credfile.Incomplete, []string{"aws_secret_access_key"}},
		{"no key id", "[default]\naws_secret_access_key=HIDE", credfile.Incomplete, []string{"aws_access_key_id"}},
		{"role without a token", "[default]\nrole_arn=HIDE", credfile.Incomplete, []string{"web_identity_token_file"}},
		{"token without a role", "[default]\nweb_identity_token_file=HIDE", credfile.Incomplete, []string{"role_arn"}},
		{"no setting", "[default]\n", credfile.Incomplete, []string{"aws_access_key_id", "role_arn"}},
	} {
		_, err := credfile.ReadAWS([]byte(c.text), "default")
		check(t, c.what, err, c.code, c.parts)
	}
}

func check(t *testing.T, what string, err error, code fault.Code, parts []string) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("%s: error %v has not code %s", what, err, code.ID)
		return
	}
	for _, part := range append(parts, "; fix: ") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q is missing in: %v", what, part, err)
		}
	}
	if strings.Contains(err.Error(), "HIDE") {
		t.Errorf("%s: content in: %v", what, err)
	}
}

// A secret can have any character in it, and what looks like a reference as well.
func TestReadEnvLeavesSecretsAlone(t *testing.T) {
	for _, name := range []string{"AZURE_CLIENT_SECRET", "AZURE_STORAGE_ACCOUNT_ACCESS_KEY", "AZURE_CLIENT_CERTIFICATE_PASSWORD"} {
		for _, value := range []string{"a$AZURE_TENANT_ID#b", "\"a$AZURE_TENANT_ID#b\"", "'a$AZURE_TENANT_ID#b'"} {
			entries, err := credfile.ReadEnv([]byte("AZURE_TENANT_ID=t\n" + name + "=" + value))
			if got := string(entries[name]); err != nil || got != "a$AZURE_TENANT_ID#b" {
				t.Errorf("%s=%s: %q, %v", name, value, got, err)
			}
		}
	}
}

func TestReadEnv(t *testing.T) {
	for line, want := range map[string]string{
		"K=v":                    "v",
		"K=":                     "",
		"export K=v":             "v",
		"export\tK = v":          "v",
		"K: v":                   "v",
		"K=a:b":                  "a:b",
		"K: a=b":                 "a=b",
		"K=v # comment":          "v",
		"K=v#no-comment":         "v#no-comment",
		"K=a==":                  "a==",
		`K="a # b"`:              "a # b",
		`K="a\nb\r\"c\"\\n"`:     "a\nb\r\"c\"\\n",
		`K='a\n$EARLIER'`:        `a\n$EARLIER`,
		"K=${EARLIER}-$EARLIER":  "e-e",
		`K="${EARLIER}"`:         "e",
		`K="\$EARLIER"`:          "$EARLIER",
		"K=pa$$word$X~${UNKNOWN": "pa$$word$X~${UNKNOWN",
		"exported=1\nK=v\r":      "v",
		"\ufeff# c\n\n  K = v  ": "v",
	} {
		text := "EARLIER=e\n" + line
		if strings.HasPrefix(line, "\ufeff") {
			text = line
		}
		got, err := credfile.ReadEnv([]byte(text))
		if err != nil || string(got["K"]) != want {
			t.Errorf("%q: %q, %v, want %q", line, string(got["K"]), err, want)
		}
	}
	for _, c := range []struct{ text, line string }{
		{"A=1\nHIDE", "line 2"},
		{"=HIDE", "line 1"},
		{`K="HIDE`, "line 1"},
		{`K="HIDE\"`, "line 1"},
		{`K='HIDE`, "line 1"},
		{`{"HIDE": "json"}`, "line 1"},
		{"A=HIDE\n" + strings.Repeat("A=$A$A\n", 50), "too long"},
	} {
		_, err := credfile.ReadEnv([]byte(c.text))
		check(t, c.text, err, credfile.Malformed, []string{c.line})
	}
}

func TestAzure(t *testing.T) {
	for _, c := range []struct {
		text, accountKey string
		ok               bool
	}{
		{"AZURE_STORAGE_ACCOUNT_ACCESS_KEY=k", "", true},
		{"MY_KEY=k", "MY_KEY", true},
		{"MY_KEY=k", "", false},
		{"AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\nAZURE_CLIENT_SECRET=s", "", true},
		{"AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\nAZURE_CLIENT_CERTIFICATE_PATH=/p", "", true},
		{"AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\nAZURE_FEDERATED_TOKEN_FILE=/p", "", true},
		{"AZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\nAZURE_SUBSCRIPTION_ID=s\nAZURE_CLOUD_NAME=AzurePublicCloud", "", false},
		{"AZURE_TENANT_ID=t\nAZURE_CLIENT_SECRET=s", "", false},
		{"", "", false},
	} {
		entries, err := credfile.ReadEnv([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		err = credfile.AzureFrom(entries, c.accountKey).Check()
		if (err == nil) != c.ok || !c.ok && !errors.Is(err, credfile.Incomplete) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func TestReadGCP(t *testing.T) {
	serviceAccount := `{"type":"service_account","project_id":"p","client_email":"a@b","private_key":"k"}`
	g, err := credfile.ReadGCP([]byte("\ufeff\r\n" + serviceAccount + "\r\n"))
	want := &credfile.GCP{JSON: credfile.Sensitive(serviceAccount), Type: "service_account", ProjectID: "p", ClientEmail: "a@b"}
	if err != nil || !reflect.DeepEqual(g, want) {
		t.Errorf("%+v, %v", g, err)
	}
	external := `{"type":"external_account","audience":"a","subject_token_type":"urn:ietf:params:oauth:token-type:jwt",
		"token_url":"https://sts.googleapis.com/v1/token","credential_source":{"file":"/token","format":{"type":"text"}}}`
	if g, err := credfile.ReadGCP([]byte(external)); err != nil || g.Type != "external_account" || g.ProjectID != "" {
		t.Errorf("%+v, %v", g, err)
	}
	for _, c := range []struct {
		text string
		code fault.Code
		part string
	}{
		{"", credfile.Malformed, "JSON object"},
		{"null", credfile.Malformed, `"type"`},
		{"[1]", credfile.Malformed, "JSON object"},
		{"{}", credfile.Malformed, `"type"`},
		{`{"type":1}`, credfile.Malformed, `"type"`},
		{`{"type":"HIDE"}`, credfile.Malformed, "service_account"},
		{"{\n\"type\": HIDE}", credfile.Malformed, "line 2"},
		{`{"type":"service_account","client_email":"HIDE","private_key":""}`, credfile.Incomplete, "private_key"},
		{`{"type":"external_account","audience":"HIDE"}`, credfile.Incomplete, "subject_token_type, token_url, credential_source"},
	} {
		_, err := credfile.ReadGCP([]byte(c.text))
		check(t, c.text, err, c.code, []string{c.part})
	}
}

func TestSensitiveIsHidden(t *testing.T) {
	a := &credfile.AWS{AccessKeyID: "AKIA", SecretAccessKey: "HIDE", SessionToken: "HIDE"}
	encoded, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(a, *a), fmt.Sprintf("%v %+v %#v %s %q", a, a, a, a.SecretAccessKey, a.SecretAccessKey),
		fmt.Errorf("x: %w", errors.New(a.SecretAccessKey.String())).Error(), string(encoded),
	} {
		if strings.Contains(text, "HIDE") || !strings.Contains(text, "hidden") {
			t.Error(text)
		}
	}
	if credfile.Sensitive("").String() != "" {
		t.Error("an empty value looks like a set one")
	}
}

func TestCodesAreComplete(t *testing.T) {
	for _, c := range []fault.Code{
		credfile.Malformed, credfile.ProfileMissing, credfile.Incomplete,
	} {
		if c.ID == "" || c.Meaning == "" || c.Fix == "" {
			t.Errorf("code %+v has an empty part", c)
		}
	}
}

func FuzzReadAWS(f *testing.F) {
	f.Add([]byte("[default]\naws_access_key_id=AKIA\naws_secret_access_key=s/e=c+r==\n"), "default")
	f.Add([]byte("\ufeff[profile \"p q\"]\r\nrole_arn = arn # c\r\nweb_identity_token_file='/t'\r\n"), "p q")
	f.Add([]byte("[]\n[\n=\n[default]\ns3 =\n  a = b\n\tc\n"), "")
	f.Fuzz(func(t *testing.T, data []byte, profile string) {
		a, err := credfile.ReadAWS(data, profile)
		if (a == nil) == (err == nil) {
			t.Fatalf("%+v, %v", a, err)
		}
		if a != nil && !a.HasKeys() && !a.HasRole() && a.Delegation == "" {
			t.Fatalf("incomplete: %+v", a)
		}
	})
}

func FuzzReadEnv(f *testing.F) {
	f.Add([]byte("AZURE_TENANT_ID=t\nexport AZURE_CLIENT_ID: \"c\"\nAZURE_CLIENT_SECRET='s$X'\n"))
	f.Add([]byte("A=${A}\nB=\"\\\n\r\nC=$"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := credfile.ReadEnv(data)
		if (entries == nil) == (err == nil) {
			t.Fatalf("%v, %v", entries, err)
		}
		_ = credfile.AzureFrom(entries, "").Check()
	})
}

func FuzzReadGCP(f *testing.F) {
	f.Add([]byte(`{"type":"service_account","client_email":"a","private_key":"k"}`))
	f.Add([]byte(`{"type":"external_account","audience":{},"credential_source":[null]}`))
	f.Add([]byte("[{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := credfile.ReadGCP(data)
		if (g == nil) == (err == nil) {
			t.Fatalf("%+v, %v", g, err)
		}
	})
}
