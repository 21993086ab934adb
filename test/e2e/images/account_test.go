package images

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// account is Velero's service account, whose token is in a file as in a pod.
type account struct {
	cluster    *stack.ControlPlane
	file       string // of the token
	kubeconfig string
	tokens     []string // all that it has had, the current one last
}

const accountName = "velero"

// newAccount makes an account that may do everything, as OADP's may. Its files
// are in a folder.
func newAccount(ctx context.Context, cluster *stack.ControlPlane, dir string) (*account, error) {
	a := &account{cluster: cluster, file: filepath.Join(dir, "token"), kubeconfig: filepath.Join(dir, "kubeconfig")}
	name := metav1.ObjectMeta{Name: accountName}
	_, err := cluster.Kubernetes.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Create(ctx, &corev1.ServiceAccount{ObjectMeta: name}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	_, err = cluster.Kubernetes.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceDefault, Name: accountName}},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.LoadFromFile(cluster.Kubeconfig)
	if err != nil {
		return nil, err
	}
	for _, user := range config.AuthInfos {
		*user = clientcmdapi.AuthInfo{TokenFile: a.file}
	}
	if err := clientcmd.WriteToFile(*config, a.kubeconfig); err != nil {
		return nil, err
	}
	return a, a.newToken(ctx)
}

// newToken puts a token into the file, in place of another.
func (a *account) newToken(ctx context.Context) error {
	hour := int64(3600)
	request, err := a.cluster.Kubernetes.CoreV1().ServiceAccounts(metav1.NamespaceDefault).CreateToken(ctx, accountName,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("token of the service account: %w", err)
	}
	next := a.file + ".next"
	if err := os.WriteFile(next, []byte(request.Status.Token), 0o600); err != nil {
		return err
	}
	a.tokens = append(a.tokens, request.Status.Token)
	return os.Rename(next, a.file)
}
