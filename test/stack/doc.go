// Package stack starts the real servers that the tests run against: a
// Kubernetes control plane, MinIO, registries of images and the Velero server,
// all on the loopback interface of a network namespace of their own. On request
// there is a node, on which pods run, and storage with snapshots.
//
// A test package declares its servers in TestMain and takes them in its tests.
// They start with the first test that asks and are shared by the whole package;
// tests keep apart by bucket and namespace.
//
//	var servers stack.Stack
//
//	func TestMain(m *testing.M) { servers.Main(m, tools.MinIO) }
//
//	func TestPut(t *testing.T) {
//		store := servers.MinIO(t)
//		bucket := store.NewBucket(t)
//		...
//	}
//
// Main runs the test binary again, inside the namespace: the code under test
// and the processes that it starts share the servers' network, see no other,
// and end with them, whatever ends the test run. Inside, the environment holds
// no cloud credentials, certificate bundles or proxies, and /proc shows only
// the processes of the run.
//
// OADP_STACK_NAMESPACE=off keeps everything in the network of the machine.
// OADP_STACK_KEEP=1 keeps the run's folder with the logs and data of the
// servers.
package stack
