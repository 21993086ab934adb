package sdk

import (
	"io"
	"log/slog"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/hostlog"
	"github.com/oadp-plugins/oadp-plugins/sdk/internal/server"
)

// LevelTrace is the log level below slog.LevelDebug that Velero knows as trace:
//
//	host.Logger.Log(ctx, sdk.LevelTrace, "read a page", "keys", len(keys))
const LevelTrace slog.Level = hostlog.LevelTrace

// Host is what a plugin process knows of the Velero server that has started it.
// Every constructor gets one. When the binary is started by hand, the
// arguments, the features and the cluster are empty.
type Host struct {
	// Logger writes to Velero's log. In a backup each line of level warn or error
	// counts, and one error makes the backup PartiallyFailed. It is nil only in a
	// Host that the SDK has not made.
	Logger *slog.Logger

	// Args are the arguments of the process without its name. Velero 1.15 and
	// later passes on all flags of the command velero server, such as
	// --default-volumes-to-fs-backup; older servers pass on --log-level and
	// --features only.
	Args []string

	// Namespace is the one in which Velero runs and keeps its own objects, such
	// as openshift-adp.
	Namespace string

	// Features are those that the server's flag --features turns on, such as
	// EnableCSI.
	Features []string

	// Cluster says how the server reaches its cluster.
	Cluster Cluster

	// Kind and Name are what the constructor is registered as, such as
	// ObjectStore and example.io/fs.
	Kind, Name string
}

// Enabled reports whether the Velero server runs with a feature, such as
// EnableCSI.
func (h Host) Enabled(feature string) bool { return slices.Contains(h.Features, feature) }

// ConfigMapSelector returns the label selector of the plugin's config map, as
// Velero's own plugins find theirs:
//
//	velero.io/plugin-config,example.io/stamp=BackupItemAction
//
// An administrator makes the config map in [Host.Namespace], with both labels; the
// first has an empty value. More than one that matches is an error to report. The
// SDK links no Kubernetes client, so the plugin asks for it with its own client,
// which [Host.Cluster] says how to make:
//
//	list, err := clientset.CoreV1().ConfigMaps(host.Namespace).List(ctx, metav1.ListOptions{LabelSelector: host.ConfigMapSelector()})
//
// Ask when a call needs the settings and not in the constructor: an API that is
// down for a moment would otherwise fail the call that constructs the action.
func (h Host) ConfigMapSelector() string { return "velero.io/plugin-config," + h.Name + "=" + h.Kind }

// Cluster is what the flags of the Velero server say about the way to its
// cluster. The SDK links no Kubernetes client; with client-go it is used so:
//
//	rules := clientcmd.NewDefaultClientConfigLoadingRules() // KUBECONFIG, the home directory, the pod
//	rules.ExplicitPath = host.Cluster.Kubeconfig
//	overrides := &clientcmd.ConfigOverrides{CurrentContext: host.Cluster.Context}
//	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
//	config.QPS, config.Burst = host.Cluster.QPS, host.Cluster.Burst
type Cluster struct {
	Kubeconfig string  // path from --kubeconfig, "" for the default
	Context    string  // from --kubecontext, "" for the current one
	QPS        float32 // requests per second, from --client-qps; Velero's default without it
	Burst      int     // requests at once, from --client-burst; Velero's default without it
}

// ClusterFromArgs returns the way to the cluster that a process with these
// arguments takes. Commands and programs that have no Host use it with
// os.Args[1:].
func ClusterFromArgs(args []string) Cluster { return Cluster(server.ParseFlags(args).Cluster) }

// host returns the host of an implementation of this kind and name.
func (p *Plugin) host(kind, name string) Host {
	return Host{
		Logger:    p.log,
		Args:      slices.Clone(p.args),
		Namespace: p.flags.Namespace,
		Features:  slices.Clone(p.flags.Features),
		Cluster:   Cluster(p.flags.Cluster),
		Kind:      kind,
		Name:      name,
	}
}

// hostByHand returns the host of a process that no Velero server has started.
func (p *Plugin) hostByHand(log io.Writer) Host {
	h := p.host("", "")
	h.Logger = slog.New(slog.NewTextHandler(log, nil))
	return h
}
