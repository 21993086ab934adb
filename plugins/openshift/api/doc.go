// Package api names what the plugin reads from and writes to the cluster: the
// resources of Kubernetes and OpenShift, and the annotations and labels that
// OpenShift, OADP and other releases of this plugin know.
package api
