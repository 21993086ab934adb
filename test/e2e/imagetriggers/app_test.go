package imagetriggers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

const (
	original = "gallery" // the namespace that is backed up
	trigger  = `[{"from":{"kind":"ImageStreamTag","name":"app:latest"},"fieldPath":"spec.template.spec.containers[?(@.name==\"app\")].image"}]`
	dataFile = "pictures"
	hookFile = "sum"
	dataSize = 40 << 20
)

// gallery is a Deployment of one pod with a claim.
type gallery struct {
	node    *stack.Node
	cluster *stack.ControlPlane
	folder  string // of the volume, on the node
	sum     string // of its data
}

// create makes the gallery in a namespace of its own and fills its volume.
func (g *gallery) create(ctx context.Context, t *testing.T, image string) {
	t.Helper()
	g.newVolume(ctx, t, "before")
	if err := g.cluster.CreateNamespace(ctx, original); err != nil {
		t.Fatal(err)
	}
	class := ""
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: volumeSize()},
		},
	}
	if _, err := g.cluster.Kubernetes.CoreV1().PersistentVolumeClaims(original).Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.cluster.Kubernetes.AppsV1().Deployments(original).Create(ctx, deployment(image), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := stack.Await(ctx, func() error { return g.deployed(ctx, original, image) }); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, dataSize)
	_, _ = rand.Read(data) // never fails
	if err := os.WriteFile(filepath.Join(g.folder, dataFile), data, 0o644); err != nil {
		t.Fatal(err)
	}
	g.sum = fmt.Sprintf("%x", sha256.Sum256(data))
}

func deployment(image string) *appsv1.Deployment {
	labels, replicas := map[string]string{"app": "gallery"}, int32(1)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "gallery", Annotations: map[string]string{"image.openshift.io/triggers": trigger}},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{
					"post.hook.restore.velero.io/command": `["/app", "sum", "/data/` + dataFile + `", "/data/` + hookFile + `"]`,
				}},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{
						Name: "app", Image: image, VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
					}},
					Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
						PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
					}}},
				},
			},
		},
	}
}

// deployed is a check that the only pod of the Deployment in a namespace is ready
// and has that image.
func (g *gallery) deployed(ctx context.Context, namespace, image string) error {
	d, err := g.cluster.Kubernetes.AppsV1().Deployments(namespace).Get(ctx, "gallery", metav1.GetOptions{})
	if err != nil {
		return err
	}
	status := d.Status
	if got := d.Spec.Template.Spec.Containers[0].Image; got != image || status.ObservedGeneration != d.Generation ||
		status.UpdatedReplicas != 1 || status.ReadyReplicas != 1 || status.Replicas != 1 {
		return fmt.Errorf("image %s, status %+v", got, status)
	}
	return nil
}

// hooked returns what the hook has found in the volume, or "" if it has not run.
func (g *gallery) hooked(t *testing.T) string {
	t.Helper()
	sum, err := os.ReadFile(filepath.Join(g.folder, hookFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	return string(sum)
}

// newVolume makes an empty volume for the next claim.
func (g *gallery) newVolume(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	folder, err := g.node.NewVolumeFolder()
	if err != nil {
		t.Fatal(err)
	}
	g.folder = folder
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      volumeSize(),
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: folder}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{stack.NodeName},
				}}}},
			}},
		},
	}
	if _, err := g.cluster.Kubernetes.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func volumeSize() corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("100Mi")}
}
