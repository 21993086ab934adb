package server

import (
	"cmp"
	"os"
	"strconv"
	"strings"
)

// Flags are what the arguments of a plugin process say. Velero passes on all
// flags of its server, so every flag that is not named here is left alone.
type Flags struct {
	LogLevel  string   // --log-level
	Features  []string // --features
	Namespace string   // --namespace, else that of the environment
	Cluster   Cluster

	// Legacy says that the arguments look like those of Velero 1.14 or older:
	// the log level and perhaps features as separate words, and nothing else.
	Legacy bool
}

// Cluster is how the server reaches its cluster.
type Cluster struct {
	Kubeconfig string  // --kubeconfig
	Context    string  // --kubecontext
	QPS        float32 // --client-qps
	Burst      int     // --client-burst
}

// The limits of a Velero server without --client-qps and --client-burst.
const (
	defaultQPS   = 100
	defaultBurst = 100
)

// ParseFlags reads the arguments behind the program's name. It never fails: a
// value of the wrong form counts as absent.
func ParseFlags(args []string) Flags {
	values := flagValues(args)
	return Flags{
		LogLevel:  values["log-level"],
		Features:  list(values["features"]),
		Namespace: cmp.Or(values["namespace"], values["n"], os.Getenv("VELERO_NAMESPACE"), podNamespace(), "velero"),
		Cluster: Cluster{
			Kubeconfig: values["kubeconfig"],
			Context:    values["kubecontext"],
			QPS:        positive(values["client-qps"], defaultQPS),
			Burst:      int(positive(values["client-burst"], defaultBurst)),
		},
		Legacy: len(args) == 2 && args[0] == "--log-level" ||
			len(args) == 4 && args[0] == "--log-level" && args[2] == "--features",
	}
}

// flagValues returns the values of all flags by name, in any of the forms
// --name=value, --name value and -n value. The last one counts.
func flagValues(args []string) map[string]string {
	values := map[string]string{}
	for i, arg := range args {
		name, value, joined := strings.Cut(arg, "=")
		flag := strings.TrimLeft(name, "-")
		if flag == name {
			continue
		}
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		values[flag] = value
	}
	return values
}

// list returns the words of a list such as "EnableCSI,EnableAPIGroupVersions".
func list(text string) []string {
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

func positive(text string, otherwise float32) float32 {
	n, err := strconv.ParseFloat(text, 32)
	if err != nil || !(n > 0) {
		return otherwise
	}
	return float32(n)
}

// podNamespace returns the namespace that a pod's service account is in, or ""
// outside of a pod.
func podNamespace() string {
	data, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
