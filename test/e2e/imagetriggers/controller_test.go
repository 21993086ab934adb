package imagetriggers

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// triggerController stands in for OpenShift's: it gives a Deployment whose
// trigger is not paused the image of its image stream tag, which is image.
type triggerController struct {
	cluster   *stack.ControlPlane
	namespace string
	image     string
}

// run looks after the namespace until ctx ends.
func (c triggerController) run(ctx context.Context) error {
	deployments := c.cluster.Kubernetes.AppsV1().Deployments(c.namespace)
	watch, err := deployments.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-watch.ResultChan():
			if !ok {
				return nil
			}
			d, ok := event.Object.(*appsv1.Deployment)
			if !ok || d.DeletionTimestamp != nil || d.Spec.Template.Spec.Containers[0].Image == c.image || !triggered(d) {
				continue
			}
			patch := fmt.Sprintf(`[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": %q}]`, c.image)
			_, err := deployments.Patch(ctx, d.Name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// triggered reports whether a Deployment has a trigger that is not paused.
func triggered(d *appsv1.Deployment) bool {
	var triggers []struct{ Paused bool }
	if err := json.Unmarshal([]byte(d.Annotations["image.openshift.io/triggers"]), &triggers); err != nil {
		return false
	}
	for _, t := range triggers {
		if !t.Paused {
			return true
		}
	}
	return false
}
