package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

const ebsRegion = "eu-central-1"

// TestAWSSnapshots checks the volume snapshotter with a fake of EC2, once with the
// keys of a user and once with a role that a token is exchanged for.
func TestAWSSnapshots(t *testing.T) {
	t.Parallel()
	cloud := awsfake.New(ebsRegion)
	volume := cloud.AddVolume(awsfake.Volume{Zone: ebsRegion + "a", Type: "gp3", Size: 1, IOPS: 3000, Throughput: 125})
	// The suite asks for more snapshots of a volume than EC2 takes in the time.
	cloud.Inject(inject.Always, awsfake.Actions("CreateSnapshot"), inject.Before(func() { cloud.Advance(15 * time.Second) }))
	config := ebsConfig(t, cloud)
	alternate := ebsConfig(t, cloud)
	token := write(t, "token", "the token")
	alternate["credentialsFile"] = roleFile(t, cloud, token)
	plugintest.Run(t, plugintest.Plugin{
		Path: build(t, "velero-plugin-for-aws", "./plugins/aws"),
		Env:  append(ebsEnvironment(t, cloud), credpolicy.TokenFilesVariable+"="+token),
		Snapshotter: &plugintest.SnapshotterConfig{
			Config:           config,
			Alternate:        alternate,
			PersistentVolume: inTreeVolume(ebsRegion+"a", volume),
			VolumeID:         volume,
			Zone:             ebsRegion + "a",
			AbsentSnapshotID: "snap-0123456789abcdef0",
			DeleteVolume: func(_ context.Context, id string) error {
				cloud.RemoveVolume(id)
				return nil
			},
		},
		Skip: processRows(),
	})
	if n := cloud.Snapshots(); n != 0 {
		t.Errorf("%d snapshots are left", n)
	}
}

// ebsEnvironment is that of a container, with the services of the fake in place of
// those of AWS.
func ebsEnvironment(t *testing.T, cloud *awsfake.Cloud) []string {
	return append(environment(t), "AWS_ENDPOINT_URL_EC2="+fakecloud.Serve(t, cloud.EC2()), "AWS_ENDPOINT_URL_STS="+fakecloud.Serve(t, cloud.STS()))
}

// ebsConfig is the spec.config of a location of volume snapshots.
func ebsConfig(t *testing.T, cloud *awsfake.Cloud) map[string]string {
	t.Helper()
	keys := cloud.AddUser("velero")
	return map[string]string{"region": ebsRegion, "credentialsFile": credentialsFile(t, keys.AccessKeyID, keys.SecretAccessKey)}
}

// roleFile is a credentials file with a role that a token is exchanged for.
func roleFile(t *testing.T, cloud *awsfake.Cloud, token string) string {
	t.Helper()
	cloud.Trust("the token", "velero")
	role := cloud.AddRole(awsfake.Role{Name: "oadp", Subject: "velero"})
	return write(t, "sts", fmt.Sprintf("[default]\nrole_arn = %s\nweb_identity_token_file = %s\n", role, token))
}

func inTreeVolume(zone, id string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolume",
		"metadata":{"name":"pv-1","labels":{"topology.kubernetes.io/zone":%q}},
		"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"awsElasticBlockStore":{"volumeID":"aws://%[1]s/%[2]s","fsType":"ext4"}}}`, zone, id))
}

// TestAWSSnapshotsByHand checks locations that work and that are broken in one
// place each, as an administrator does.
func TestAWSSnapshotsByHand(t *testing.T) {
	cloud := awsfake.New(ebsRegion)
	cloud.AddVolume(awsfake.Volume{Zone: ebsRegion + "a", Size: 1})
	cloud.AddSnapshot(awsfake.Snapshot{Size: 1})
	token := write(t, "token", "the token")
	env := append(ebsEnvironment(t, cloud), credpolicy.TokenFilesVariable+"="+token)
	plugin := build(t, "velero-plugin-for-aws", "./plugins/aws")
	file := write(t, "vsl.yaml", "kind: VolumeSnapshotLocation\napiVersion: velero.io/v1\nmetadata: {name: default}\nspec:\n  provider: aws\n  config: {region: "+ebsRegion+"}\n")
	check := func(credentials string) (string, error) {
		command := exec.Command(plugin, "check", "--location", file, "--credentials-file", credentials)
		command.Env = env
		out, err := command.CombinedOutput()
		return string(out), err
	}
	out, err := check(roleFile(t, cloud, token))
	if err != nil || !strings.Contains(out, "web identity token") || !strings.Contains(out, "assumed-role/oadp/") || !strings.Contains(out, "ec2:DeleteSnapshot") {
		t.Errorf("works: %v, %s", err, out)
	}
	cloud.Deny("ec2:CreateTags")
	out, err = check(ebsConfig(t, cloud)["credentialsFile"])
	if err == nil || !strings.Contains(out, "FAIL  permissions") || !strings.Contains(out, "allow ec2:CreateTags") {
		t.Errorf("without a permission: %v, %s", err, out)
	}
	out, err = check(credentialsFile(t, "AKIANOBODY", "x"))
	if err == nil || !strings.Contains(out, "FAIL  account") || !strings.Contains(out, "AWS_UNKNOWN_ACCESS_KEY") {
		t.Errorf("without an account: %v, %s", err, out)
	}
}
