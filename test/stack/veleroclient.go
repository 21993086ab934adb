package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// VeleroClient works with a Velero server, however that runs.
type VeleroClient struct {
	// Binary is the command line, Env its environment.
	Binary string
	Env    []string

	cluster *ControlPlane
	// await polls a check until it succeeds, as server.await does.
	await func(context.Context, func(context.Context) error) error
}

// CLI runs the velero command line and returns what it prints.
func (v *VeleroClient) CLI(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, v.Binary, args...)
	cmd.Env = v.Env
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("velero %s: %w\n%s%s", strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}

// AddLocation creates a backup storage location with its secret and waits
// until Velero, through the plugin, finds it available.
func (v *VeleroClient) AddLocation(ctx context.Context, location Location) error {
	if err := v.createLocation(ctx, location); err != nil {
		return err
	}
	return v.awaitLocation(ctx, location)
}

func (v *VeleroClient) awaitLocation(ctx context.Context, location Location) error {
	return v.await(ctx, func(ctx context.Context) error {
		phase, message, err := v.lookAtLocation(ctx, location)
		if err == nil && phase != "Available" {
			err = fmt.Errorf("backup storage location %s is in phase %q: %s", location.Name, phase, message)
		}
		return err
	})
}

// OfferLocation creates a backup storage location with its secret, as AddLocation
// does, and waits until Velero has called the plugin for it. It returns the phase
// that the location is in then, and the message that tells why.
func (v *VeleroClient) OfferLocation(ctx context.Context, location Location) (phase, message string, err error) {
	if err := v.createLocation(ctx, location); err != nil {
		return "", "", err
	}
	err = v.await(ctx, func(ctx context.Context) error {
		phase, message, err = v.lookAtLocation(ctx, location)
		if err == nil && phase == "" {
			err = fmt.Errorf("Velero has not looked at backup storage location %s", location.Name)
		}
		return err
	})
	return phase, message, err
}

// RemoveLocation deletes a backup storage location with its secret. Velero
// then forgets the backups in it; the bucket keeps them.
func (v *VeleroClient) RemoveLocation(ctx context.Context, name string) error {
	locations := v.Resource("backupstoragelocations")
	if err := locations.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	secrets := v.cluster.Kubernetes.CoreV1().Secrets(VeleroNamespace)
	if err := secrets.Delete(ctx, credentialName(name), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

func credentialName(location string) string { return "credential-" + location }

func (v *VeleroClient) createLocation(ctx context.Context, location Location) error {
	secret := credentialName(location.Name)
	if location.Credential != nil {
		_, err := v.cluster.Kubernetes.CoreV1().Secrets(VeleroNamespace).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: secret},
			Data:       map[string][]byte{"cloud": location.Credential},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
	}
	_, err := v.Resource("backupstoragelocations").Create(ctx, location.object(secret), metav1.CreateOptions{})
	return err
}

// lookAtLocation returns the phase of a location and the message that tells why. Velero
// reads secrets from a cache, which may not have the location's secret yet. Velero then
// finds the location unavailable and validates it again only a minute later. To save
// that minute, lookAtLocation deletes the location and creates it again.
func (v *VeleroClient) lookAtLocation(ctx context.Context, location Location) (phase, message string, err error) {
	locations := v.Resource("backupstoragelocations")
	found, err := locations.Get(ctx, location.Name, metav1.GetOptions{})
	if err != nil {
		return "", "", err
	}
	message, _, _ = unstructured.NestedString(found.Object, "status", "message")
	if location.Credential == nil || !strings.Contains(message, fmt.Sprintf("Secret %q not found", credentialName(location.Name))) {
		return Phase(found), message, nil
	}
	if err := locations.Delete(ctx, location.Name, metav1.DeleteOptions{}); err != nil {
		return "", "", err
	}
	_, err = locations.Create(ctx, location.object(credentialName(location.Name)), metav1.CreateOptions{})
	return "", message, err
}

// Resource is a client of one of Velero's resources in its namespace.
func (v *VeleroClient) Resource(plural string) dynamic.ResourceInterface {
	return v.cluster.Dynamic.Resource(veleroGroup.WithResource(plural)).Namespace(VeleroNamespace)
}

var veleroGroup = schema.GroupVersion{Group: "velero.io", Version: "v1"}

func veleroObject(kind, name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(veleroGroup.WithKind(kind))
	object.SetNamespace(VeleroNamespace)
	object.SetName(name)
	return object
}

// Backup creates a backup and waits until it is finished. It returns it in its
// last state, in whatever phase that is.
func (v *VeleroClient) Backup(ctx context.Context, name string, spec map[string]any) (*unstructured.Unstructured, error) {
	return v.runToEnd(ctx, "backups", veleroObject("Backup", name, spec))
}

// Restore creates a restore and waits until it is finished, as Backup does.
func (v *VeleroClient) Restore(ctx context.Context, name string, spec map[string]any) (*unstructured.Unstructured, error) {
	return v.runToEnd(ctx, "restores", veleroObject("Restore", name, spec))
}

func (v *VeleroClient) runToEnd(ctx context.Context, plural string, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	client := v.Resource(plural)
	if _, err := client.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	var last *unstructured.Unstructured
	err := v.await(ctx, func(ctx context.Context) error {
		found, err := client.Get(ctx, object.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		last = found
		switch phase := Phase(found); phase {
		case "Completed", "PartiallyFailed", "Failed", "FailedValidation":
			return nil
		default:
			return fmt.Errorf("%s %s is in phase %q", plural, object.GetName(), phase)
		}
	})
	return last, err
}

// Phase is status.phase of an object.
func Phase(object *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
	return phase
}

// DeleteBackup deletes a backup with its objects in the bucket and waits until
// it is gone.
func (v *VeleroClient) DeleteBackup(ctx context.Context, name string) error {
	requests := v.Resource("deletebackuprequests")
	request := veleroObject("DeleteBackupRequest", name+"-deletion", map[string]any{"backupName": name})
	if _, err := requests.Create(ctx, request, metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := v.AwaitBackup(ctx, name, false); err != nil {
		found, getErr := requests.Get(context.WithoutCancel(ctx), request.GetName(), metav1.GetOptions{})
		if getErr != nil {
			return errors.Join(err, getErr)
		}
		return fmt.Errorf("%w\nthe request for its deletion: %v", err, found.Object["status"])
	}
	return nil
}

// AwaitBackup waits until Velero knows a backup, or until it knows it no more.
func (v *VeleroClient) AwaitBackup(ctx context.Context, name string, known bool) error {
	return v.await(ctx, func(ctx context.Context) error {
		_, err := v.Resource("backups").Get(ctx, name, metav1.GetOptions{})
		switch {
		case err != nil && !apierrors.IsNotFound(err):
			return err
		case known != (err == nil):
			return fmt.Errorf("backup %s is known: %t", name, !known)
		}
		return nil
	})
}
