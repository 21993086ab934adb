package stack

import (
	"net"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

func (n *Node) startKubelet(dir string) error {
	text, err := yaml.Marshal(n.kubeletConfig())
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "kubelet.yaml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return err
	}
	kubeconfig, err := n.kubeconfig(dir, "kubelet", n.cluster.creds.nodeToken)
	if err != nil {
		return err
	}
	n.kubelet, err = n.stack.start("kubelet", tools.Kubelet, nil,
		"--config="+config, "--kubeconfig="+kubeconfig, "--hostname-override="+NodeName, "--node-ip="+NodeAddress,
		"--root-dir="+kubeletFolder, "--cert-dir="+filepath.Join(dir, "kubelet"))
	return err
}

// kubeletConfig has what differs from the defaults: kubelet must not measure,
// limit or arrange the machine that it is a guest on.
func (n *Node) kubeletConfig() map[string]any {
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address": NodeAddress, "readOnlyPort": 0,
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": false},
			"x509":      map[string]any{"clientCAFile": filepath.Join(n.cluster.dir, "ca.crt")},
		},
		"authorization":            map[string]any{"mode": "AlwaysAllow"},
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"podLogsDir":               n.podLogs(),
		"volumePluginDir":          filepath.Join(kubeletFolder, "volume-plugins"),
		"resolvConf":               "",
		// Control groups of the first version are all that some machines have.
		"failCgroupV1": false, "cgroupDriver": "cgroupfs", "cgroupRoot": "/" + filepath.Base(n.stack.stage.Dir),
		"cgroupsPerQOS": true, "enforceNodeAllocatable": []string{},
		"failSwapOn": false, "makeIPTablesUtilChains": false, "localStorageCapacityIsolation": false,
		"evictionHard": map[string]any{
			"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
		},
		"imageGCHighThresholdPercent": 100,
	}
}

func (n *Node) startScheduler(dir string) error {
	address, err := n.stack.address()
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	kubeconfig, err := n.kubeconfig(dir, "kube-scheduler", n.cluster.creds.schedulerToken)
	if err != nil {
		return err
	}
	_, err = n.stack.start("kube-scheduler", tools.KubeScheduler, nil,
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--bind-address="+host, "--secure-port="+port, "--cert-dir="+filepath.Join(dir, "kube-scheduler"),
		"--leader-elect=false", "--profiling=false")
	return err
}

func (n *Node) kubeconfig(dir, name, token string) (string, error) {
	file := filepath.Join(dir, name+".kubeconfig")
	return file, n.cluster.creds.writeKubeconfig(file, n.cluster.address, token)
}
