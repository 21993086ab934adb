package cases

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// The cloud of the cluster with volumes on EBS. A restore moves them from one zone
// to another.
const (
	cloudRegion = "eu-central-1"
	oldZone     = cloudRegion + "a"
	newZone     = cloudRegion + "b"
)

// veleroSubject is the service account that the role trusts.
const veleroSubject = "system:serviceaccount:velero:velero"

// VolumesOnEBS backs up and restores volumes through snapshots, as OADP is set up
// on a cluster with STS: there is no key but a token, which both the bucket's
// location and the snapshots' exchange for sessions of one role. The volumes come
// back in another zone.
func VolumesOnEBS(t *testing.T, servers *stack.Stack) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	store, cluster, velero := servers.MinIO(t), servers.ControlPlane(t), servers.Velero(t)
	cloud := awsfake.New(cloudRegion)
	token := filepath.Join(t.TempDir(), "token")
	inCloud(ctx, t, velero, cloud, token)
	from := logEnd(t, velero)
	location := newLocation(t, velero, cloudLocation(t, cloud, store, token))
	snapshots := newSnapshotLocation(ctx, t, velero, location)
	volumes := newVolumes(ctx, t, cluster, cloud)

	backup, err := velero.Backup(ctx, "volumes", map[string]any{
		"includedNamespaces": []any{volumes.namespace}, "storageLocation": location, "volumeSnapshotLocations": []any{snapshots},
	})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, backup)
	if n := cloud.Snapshots(); n != len(volumes.ids) {
		t.Fatalf("%d snapshots of %d volumes", n, len(volumes.ids))
	}
	for _, call := range cloud.Calls("CreateSnapshot") {
		if tags := call.Tags(); tags["velero.io/backup"] != "volumes" || tags["velero.io/pv"] == "" || tags["velero.io/ebs-az"] != oldZone || tags["Name"] == "" {
			t.Errorf("tags of a snapshot: %v", tags)
		}
	}

	volumes.lose(ctx, t)
	setSnapshotConfig(ctx, t, velero, snapshots, "azMapping", oldZone+":"+newZone)
	restore, err := velero.Restore(ctx, "volumes", map[string]any{"backupName": "volumes"})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, restore)
	volumes.mustBeMoved(ctx, t)

	if err := velero.DeleteBackup(ctx, "volumes"); err != nil {
		t.Fatal(err)
	}
	if n := cloud.Snapshots(); n != 0 {
		t.Errorf("%d snapshots are left after the backup's deletion", n)
	}
	for _, call := range cloud.Calls("") {
		if call.AccessKey != "" && !strings.HasPrefix(call.AccessKey, "ASIAOADP") {
			t.Errorf("%s %s is signed with %s", call.Service, call.Action, call.AccessKey)
		}
	}
	mustHaveCleanLog(ctx, t, velero, from)
}

// inCloud lets Velero's plugins find the services of the cloud, for the time of a
// test, and lets locations use the token of its pod.
func inCloud(ctx context.Context, t *testing.T, velero *stack.Velero, cloud *awsfake.Cloud, token string) {
	t.Helper()
	before := velero.Env
	velero.Env = append(before[:len(before):len(before)],
		"AWS_ENDPOINT_URL_EC2="+fakecloud.Serve(t, cloud.EC2()), "AWS_ENDPOINT_URL_STS="+fakecloud.Serve(t, cloud.STS()),
		credpolicy.TokenFilesVariable+"="+token)
	if err := velero.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		velero.Env = before
		if err := velero.Restart(ctx); err != nil {
			t.Error(err)
		}
	})
}

// cloudLocation is a bucket of the cloud, kept by MinIO, with a role for a token as
// its credential.
func cloudLocation(t *testing.T, cloud *awsfake.Cloud, store *stack.MinIO, token string) stack.Location {
	t.Helper()
	if err := os.WriteFile(token, []byte("the token of Velero's pod"), 0o600); err != nil {
		t.Fatal(err)
	}
	cloud.Trust("the token of Velero's pod", veleroSubject)
	role := cloud.AddRole(awsfake.Role{Name: "oadp", Subject: veleroSubject})
	target, err := url.Parse(store.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	bucket := store.NewBucket(t)
	s3 := fakecloud.Serve(t, cloud.S3(target, awsfake.Keys{AccessKeyID: store.AccessKey, SecretAccessKey: store.SecretKey}, stack.Region))
	return stack.Location{
		Name: "cloud", Provider: "aws", Bucket: bucket, Prefix: "cluster-1",
		Config:     map[string]string{"region": cloudRegion, "s3Url": s3, "s3ForcePathStyle": "true", "enableSharedConfig": "true", "profile": "default"},
		Credential: fmt.Appendf(nil, "[default]\nsts_regional_endpoints = regional\nrole_arn = %s\nweb_identity_token_file = %s\nregion = %s\n", role, token, cloudRegion),
	}
}

// newSnapshotLocation adds a location of snapshots that names the credentials file
// of the bucket's location, as the guide to OADP with STS has it.
func newSnapshotLocation(ctx context.Context, t *testing.T, velero *stack.Velero, location string) string {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "velero.io/v1", "kind": "VolumeSnapshotLocation",
		"metadata": map[string]any{"name": "ebs"},
		"spec": map[string]any{"provider": "aws", "config": map[string]any{
			"region": cloudRegion, "profile": "default", "enableSharedConfig": "true", "credentialsFile": credentialsFile(ctx, t, velero, location),
		}},
	}}
	locations := velero.Resource("volumesnapshotlocations")
	if _, err := locations.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := locations.Delete(ctx, "ebs", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return "ebs"
}

// credentialsFile is where Velero writes the credential of a backup storage
// location.
func credentialsFile(ctx context.Context, t *testing.T, velero *stack.Velero, location string) string {
	t.Helper()
	object, err := velero.Resource("backupstoragelocations").Get(ctx, location, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret, _, _ := unstructured.NestedString(object.Object, "spec", "credential", "name")
	key, _, _ := unstructured.NestedString(object.Object, "spec", "credential", "key")
	for _, variable := range velero.Env {
		if dir, ok := strings.CutPrefix(variable, "TMPDIR="); ok {
			return filepath.Join(dir, "credentials", stack.VeleroNamespace, secret+"-"+key)
		}
	}
	t.Fatal("the server has no folder for temporary files")
	return ""
}

func setSnapshotConfig(ctx context.Context, t *testing.T, velero *stack.Velero, name, key, value string) {
	t.Helper()
	locations := velero.Resource("volumesnapshotlocations")
	object, err := locations.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(object.Object, value, "spec", "config", key); err != nil {
		t.Fatal(err)
	}
	if _, err := locations.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// volumes are persistent volumes on EBS that claims in a namespace are bound to:
// one of the in-tree driver and one of CSI.
type volumes struct {
	namespace string
	client    kubernetes.Interface
	cloud     *awsfake.Cloud
	ids       map[string]string // volumes of EBS by persistent volume
}

func newVolumes(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, cloud *awsfake.Cloud) *volumes {
	t.Helper()
	v := &volumes{namespace: cluster.NewNamespace(t), client: cluster.Kubernetes, cloud: cloud, ids: map[string]string{}}
	v.add(ctx, t, "in-tree", awsfake.Volume{Type: "gp2"}, func(id string) (corev1.PersistentVolumeSource, map[string]string, string) {
		return corev1.PersistentVolumeSource{
			AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "aws://" + oldZone + "/" + id, FSType: "ext4"},
		}, map[string]string{corev1.LabelTopologyZone: oldZone, corev1.LabelFailureDomainBetaZone: oldZone}, corev1.LabelTopologyZone
	})
	v.add(ctx, t, "csi", awsfake.Volume{Type: "gp3", IOPS: 6000, Throughput: 500}, func(id string) (corev1.PersistentVolumeSource, map[string]string, string) {
		return corev1.PersistentVolumeSource{
			CSI: &corev1.CSIPersistentVolumeSource{Driver: "ebs.csi.aws.com", VolumeHandle: id, FSType: "ext4"},
		}, nil, "topology.ebs.csi.aws.com/zone"
	})
	return v
}

// add makes a volume with its claim, and waits until they are bound. source says
// how Kubernetes refers to it: by what, with which labels, and by which key its
// node affinity names the zone.
func (v *volumes) add(ctx context.Context, t *testing.T, kind string, volume awsfake.Volume,
	source func(id string) (corev1.PersistentVolumeSource, map[string]string, string),
) {
	t.Helper()
	name := v.namespace + "-" + kind
	volume.Zone, volume.Size, volume.Tags = oldZone, 1, map[string]string{"Name": name}
	id := v.cloud.AddVolume(volume)
	from, labels, zoneKey := source(id)
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: modes, PersistentVolumeSource: from, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			ClaimRef: &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: v.namespace, Name: kind},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: zoneKey, Operator: corev1.NodeSelectorOpIn, Values: []string{oldZone}}},
			}}}},
		},
	}
	if _, err := v.client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	none := ""
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: kind},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes, Resources: corev1.VolumeResourceRequirements{Requests: size}, VolumeName: name, StorageClassName: &none,
		},
	}
	if _, err := v.client.CoreV1().PersistentVolumeClaims(v.namespace).Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.remove(t, name) })
	v.ids[name] = id
	v.awaitBound(ctx, t, name)
}

func (v *volumes) awaitBound(ctx context.Context, t *testing.T, name string) *corev1.PersistentVolume {
	t.Helper()
	for {
		pv, err := v.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
		if err == nil && pv.Status.Phase == corev1.VolumeBound {
			return pv
		}
		pause(ctx, t, "persistent volume %s is not bound: %v, %v", name, pv.Status.Phase, err)
	}
}

// lose removes the claims and the persistent volumes, and the volumes themselves.
func (v *volumes) lose(ctx context.Context, t *testing.T) {
	t.Helper()
	if err := v.client.CoreV1().PersistentVolumeClaims(v.namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, id := range v.ids {
		v.cloud.RemoveVolume(id)
		if err := v.client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		for {
			_, err := v.client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				break
			}
			pause(ctx, t, "persistent volume %s is not gone: %v", name, err)
		}
	}
}

// mustBeMoved expects each persistent volume to be bound again, and to refer to a
// new volume in the new zone.
func (v *volumes) mustBeMoved(ctx context.Context, t *testing.T) {
	t.Helper()
	for name, old := range v.ids {
		pv := v.awaitBound(ctx, t, name)
		var id string
		switch {
		case pv.Spec.CSI != nil:
			id = pv.Spec.CSI.VolumeHandle
		case pv.Spec.AWSElasticBlockStore != nil:
			prefix := "aws://" + newZone + "/"
			id = strings.TrimPrefix(pv.Spec.AWSElasticBlockStore.VolumeID, prefix)
			if !strings.HasPrefix(pv.Spec.AWSElasticBlockStore.VolumeID, prefix) {
				t.Errorf("%s refers to %s", name, pv.Spec.AWSElasticBlockStore.VolumeID)
			}
			if pv.Labels[corev1.LabelTopologyZone] != newZone || pv.Labels[corev1.LabelFailureDomainBetaZone] != newZone {
				t.Errorf("labels of %s: %v", name, pv.Labels)
			}
		}
		got, ok := v.cloud.Volume(id)
		if !ok || id == old || got.Zone != newZone || got.Tags["velero.io/backup"] != "volumes" || got.Tags["Name"] != name {
			t.Errorf("%s refers to %s: %+v", name, id, got)
		}
		if pv.Spec.CSI != nil && (got.Type != "gp3" || got.IOPS != 6000 || got.Throughput != 500) {
			t.Errorf("%s is slower than it was: %+v", name, got)
		}
		for _, term := range pv.Spec.NodeAffinity.Required.NodeSelectorTerms {
			for _, expression := range term.MatchExpressions {
				if len(expression.Values) != 1 || expression.Values[0] != newZone {
					t.Errorf("%s is bound to %v", name, expression)
				}
			}
		}
	}
}

// remove removes a persistent volume at the end of a test, wherever that was.
func (v *volumes) remove(t *testing.T, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := v.client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}

// pause waits a little for a condition, which it names when ctx ends.
func pause(ctx context.Context, t *testing.T, format string, args ...any) {
	t.Helper()
	select {
	case <-ctx.Done():
		t.Fatalf(format, args...)
	case <-time.After(50 * time.Millisecond):
	}
}
