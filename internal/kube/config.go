package kube

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// defaultQPS and defaultBurst are those of the Velero server.
const (
	defaultQPS   = 100
	defaultBurst = 100
)

// LoadConfig returns the configuration that the Velero server itself uses: the
// flags --kubeconfig and --kubecontext among args, else KUBECONFIG and the home
// directory, else the service account of the pod. --client-qps and
// --client-burst are obeyed as well; every other argument is left alone.
func LoadConfig(args []string) (*rest.Config, error) {
	flags := flagsAmong(args)
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = flags["kubeconfig"]
	overrides := &clientcmd.ConfigOverrides{CurrentContext: flags["kubecontext"]}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.QPS = number(flags["client-qps"], defaultQPS)
	config.Burst = int(number(flags["client-burst"], defaultBurst))
	config.UserAgent = "oadp-plugins"
	return config, nil
}

var flagNames = []string{"kubeconfig", "kubecontext", "client-qps", "client-burst"}

// flagsAmong returns the values of the flags that matter here, in either form:
// --name=value or --name value.
func flagsAmong(args []string) map[string]string {
	found := map[string]string{}
	for i, arg := range args {
		name, value, joined := strings.Cut(arg, "=")
		flag := strings.TrimLeft(name, "-")
		if flag == name || !slices.Contains(flagNames, flag) {
			continue
		}
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		found[flag] = value
	}
	return found
}

func number(text string, otherwise float32) float32 {
	n, err := strconv.ParseFloat(text, 32)
	if err != nil || n <= 0 {
		return otherwise
	}
	return float32(n)
}
