package azuredisk

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	azurefake "github.com/oadp-plugins/oadp-plugins/test/fakes/azure"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

const group = "nodes"

// scene is a subscription with a snapshotter.
type scene struct {
	*azurefake.Cloud
	*Snapshotter
	t      *testing.T
	config map[string]string
	log    *testlog.Log
}

// newScene returns a snapshotter with these keys and values besides those by which
// it reaches the cloud.
func newScene(t *testing.T, config ...string) *scene {
	t.Helper()
	azurefake.ClearEnvironment(t)
	cloud := azurefake.New()
	app := cloud.AddApp(azurefake.App{Secret: "s3cret"})
	login, ca := fakecloud.ServeTLS(t, cloud.Login())
	manager, _ := fakecloud.ServeTLS(t, cloud.ResourceManager())
	s := &scene{Cloud: cloud, t: t, log: testlog.New()}
	s.config = map[string]string{
		"caCert": string(ca), "activeDirectoryAuthorityURI": login, "resourceManagerEndpoint": manager,
		"resourceManagerAudience": "https://management.azure.com", "disableInstanceDiscovery": "true",
		"credentialsFile": testfile.Write(t, fmt.Sprintf("AZURE_SUBSCRIPTION_ID=%s\nAZURE_RESOURCE_GROUP=%s\nAZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s\nAZURE_CLIENT_SECRET=s3cret\n",
			cloud.Subscription, group, cloud.Tenant, app.ClientID)),
	}
	for i := 0; i < len(config); i += 2 {
		s.config[config[i]] = config[i+1]
	}
	s.Snapshotter = New(s.log.Logger())
	s.clock = cloud
	t.Cleanup(s.transports.Close)
	s.mustInit(s.config)
	return s
}

func (s *scene) mustInit(config map[string]string) {
	s.t.Helper()
	if _, err := s.Init(s.t.Context(), sdk.InitInput{Config: config}); err != nil {
		s.t.Fatal(err)
	}
}

// persistentVolume reads a volume from JSON.
func persistentVolume(t *testing.T, json string) *unstructured.Unstructured {
	t.Helper()
	pv := &unstructured.Unstructured{}
	if err := pv.UnmarshalJSON([]byte(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv"},` + json + `}`)); err != nil {
		t.Fatal(err)
	}
	return pv
}

// csi is a volume of the driver for managed disks.
func csi(t *testing.T, handle string) *unstructured.Unstructured {
	return persistentVolume(t, fmt.Sprintf(`"spec":{"csi":{"driver":"disk.csi.azure.com","volumeHandle":%q}}`, handle))
}

// backUp does what Velero does with a volume, and returns the snapshot's id.
func (s *scene) backUp(pv *unstructured.Unstructured, tags map[string]string) (string, error) {
	s.t.Helper()
	name, err := s.VolumeID(s.t.Context(), sdk.VolumeIDInput{PersistentVolume: pv})
	if err != nil {
		return "", err
	}
	if _, err := s.VolumeInfo(s.t.Context(), sdk.VolumeInfoInput{VolumeID: name.VolumeID}); err != nil {
		return "", err
	}
	out, err := s.CreateSnapshot(s.t.Context(), sdk.CreateSnapshotInput{VolumeID: name.VolumeID, Tags: tags})
	return out.SnapshotID, err
}

func (s *scene) mustBackUp(pv *unstructured.Unstructured, tags map[string]string) string {
	s.t.Helper()
	id, err := s.backUp(pv, tags)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

func (s *scene) restore(in sdk.CreateVolumeInput) (azurefake.Disk, error) {
	s.t.Helper()
	out, err := s.CreateVolume(s.t.Context(), in)
	if err != nil {
		return azurefake.Disk{}, err
	}
	disk, ok := s.Disk(out.VolumeID)
	if !ok {
		s.t.Fatalf("there is no disk %q", out.VolumeID)
	}
	return disk, nil
}

func (s *scene) mustRestore(in sdk.CreateVolumeInput) azurefake.Disk {
	s.t.Helper()
	disk, err := s.restore(in)
	if err != nil {
		s.t.Fatal(err)
	}
	return disk
}

// fails fails unless an error has the code and the words.
func fails(t *testing.T, what string, err error, code fault.Code, words ...string) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q is not in: %v", what, w, err)
		}
	}
}
