package ebs

import (
	"fmt"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

const region = "eu-central-1"

// scene is a cloud with a snapshotter in it.
type scene struct {
	*awsfake.Cloud
	t      *testing.T
	keys   awsfake.Keys
	config map[string]string
	log    *testlog.Log
	*Snapshotter
}

// newScene returns a snapshotter with these keys and values besides region and
// credentials.
func newScene(t *testing.T, config ...string) *scene {
	t.Helper()
	awsfake.ClearEnvironment(t)
	cloud := awsfake.New(region)
	s := &scene{Cloud: cloud, t: t, keys: cloud.AddUser("velero"), log: testlog.New()}
	s.config = map[string]string{
		"region": region, "ec2Url": fakecloud.Serve(t, cloud.EC2()), "credentialsFile": credentialsFile(t, s.keys),
	}
	t.Setenv("AWS_ENDPOINT_URL_STS", fakecloud.Serve(t, cloud.STS()))
	for i := 0; i < len(config); i += 2 {
		s.config[config[i]] = config[i+1]
	}
	s.Snapshotter = New(s.log.Logger())
	s.clock = cloud
	if _, err := s.Init(t.Context(), sdk.InitInput{Config: s.config}); err != nil {
		t.Fatal(err)
	}
	return s
}

func credentialsFile(t *testing.T, k awsfake.Keys) string {
	t.Helper()
	return testfile.Write(t, fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", k.AccessKeyID, k.SecretAccessKey))
}

// persistentVolume reads a volume from YAML or JSON.
func persistentVolume(t *testing.T, json string) *unstructured.Unstructured {
	t.Helper()
	pv := &unstructured.Unstructured{}
	if err := pv.UnmarshalJSON([]byte(json)); err != nil {
		t.Fatal(err)
	}
	return pv
}
