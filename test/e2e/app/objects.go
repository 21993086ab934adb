package app

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	deploymentReplicas  = 3
	statefulSetReplicas = 2
	podCount            = deploymentReplicas + statefulSetReplicas

	configMaps = 12
	secrets    = 8
	orders     = 100

	// largest is what the API server takes in the data of a config map.
	largest = 1 << 20
)

// longestName is the longest that Velero restores. The API server takes 253
// characters, but Velero unpacks each object into a file of its name with
// ".json" behind it, and file names end at 255.
var longestName = strings.Repeat("long-name.", 24) + "0123456789"

var (
	podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

	workloadResources = []schema.GroupVersionResource{
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "apps", Version: "v1", Resource: "replicasets"},
		{Group: "apps", Version: "v1", Resource: "statefulsets"},
	}
)

// customers are people's names in scripts of one to four bytes a character,
// with combining marks, a right-to-left script and joined emoji.
var customers = []string{
	"Zoë Ångström", "Иван Грозный", "李小龍", "さくら", "김철수", "محمد علي", "שרה כהן", "नेहा शर्मा",
	"Ελένη", "ສົມຊາຍ", "👩‍🚀 Élodie", "e\u0301 is not é", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\u202eright to left", "O'Brien \"<&>\\ \t\n",
}

func orderGroup(namespace string) string { return namespace + ".example.com" }

func orderResource(namespace string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: orderGroup(namespace), Version: "v1", Resource: "orders"}
}

// foundations are the objects that others need to exist.
func (a *App) foundations() []*unstructured.Unstructured {
	return append(a.clusterScoped(), a.namespace())
}

func (a *App) namespace() *unstructured.Unstructured {
	return object("v1", "Namespace", a.Namespace, fields{
		"metadata": fields{"labels": fields{"team": "shop"}, "annotations": fields{"example.com/owner": customers[2]}},
	})
}

// clusterScoped are the objects outside the namespace. Velero finds the
// definition through the custom resources, the role and its binding through
// the service account.
func (a *App) clusterScoped() []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		a.definition(),
		object("rbac.authorization.k8s.io/v1", "ClusterRole", a.Namespace+"-nodes", fields{
			"rules": list{fields{"apiGroups": list{""}, "resources": list{"nodes"}, "verbs": list{"get", "list"}}},
		}),
		object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", a.Namespace+"-nodes", fields{
			"roleRef":  fields{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": a.Namespace + "-nodes"},
			"subjects": list{fields{"kind": "ServiceAccount", "name": "shop", "namespace": a.Namespace}},
		}),
	}
}

func (a *App) definition() *unstructured.Unstructured {
	group := orderGroup(a.Namespace)
	return object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "orders."+group, fields{
		"spec": fields{
			"group": group, "scope": "Namespaced",
			"names": fields{"kind": "Order", "listKind": "OrderList", "plural": "orders", "singular": "order"},
			"versions": list{fields{
				"name": "v1", "served": true, "storage": true,
				"schema": fields{"openAPIV3Schema": fields{
					"type": "object",
					"properties": fields{"spec": fields{
						"type": "object", "x-kubernetes-preserve-unknown-fields": true,
					}},
				}},
			}},
		},
	})
}

// objects are the objects in the namespace. What pods need comes before the
// workloads, whose controllers else wait longer with every refusal.
func (a *App) objects() []*unstructured.Unstructured {
	all := append(access(), configuration()...)
	all = append(all, workloads()...)
	all = append(all, networking()...)
	return append(all, a.customResources()...)
}

func workloads() []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		object("apps/v1", "Deployment", "shop", fields{"spec": fields{
			"replicas": int64(deploymentReplicas), "selector": fields{"matchLabels": fields{"app": "shop"}},
			"template": podTemplate("shop"),
		}}),
		object("apps/v1", "StatefulSet", "ledger", fields{"spec": fields{
			"replicas": int64(statefulSetReplicas), "selector": fields{"matchLabels": fields{"app": "ledger"}},
			"serviceName": "ledger", "podManagementPolicy": "Parallel", "template": podTemplate("ledger"),
		}}),
		object("batch/v1", "CronJob", "invoices", fields{"spec": fields{
			"schedule": "0 3 1 1 *", "suspend": true,
			"jobTemplate": fields{"spec": fields{"template": fields{"spec": fields{
				"restartPolicy": "Never",
				"containers":    list{fields{"name": "invoices", "image": "example.com/invoices:2"}},
			}}}},
		}}),
		object("policy/v1", "PodDisruptionBudget", "shop", fields{"spec": fields{
			"minAvailable": "50%", "selector": fields{"matchLabels": fields{"app": "shop"}},
		}}),
		object("autoscaling/v2", "HorizontalPodAutoscaler", "shop", fields{"spec": fields{
			"minReplicas": int64(deploymentReplicas), "maxReplicas": int64(10),
			"scaleTargetRef": fields{"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
			"metrics": list{fields{"type": "Resource", "resource": fields{
				"name": "cpu", "target": fields{"type": "Utilization", "averageUtilization": int64(70)}}}},
		}}),
		object("v1", "LimitRange", "defaults", fields{"spec": fields{
			"limits": list{fields{"type": "Container", "default": fields{"memory": "128Mi"}}},
		}}),
	}
}

func podTemplate(name string) fields {
	return fields{
		"metadata": fields{"labels": fields{"app": name}, "annotations": fields{"example.com/greeting": "Grüß Gott 🙏"}},
		"spec": fields{
			"serviceAccountName": "shop",
			"containers": list{fields{
				"name": name, "image": "example.com/" + name + ":1",
				"ports":   list{fields{"name": "http", "containerPort": int64(8080)}},
				"envFrom": list{fields{"configMapRef": fields{"name": "settings-00"}}},
				"env": list{fields{"name": "KEY", "valueFrom": fields{
					"secretKeyRef": fields{"name": "secret-00", "key": "binary"}}}},
				// As the limit range would set them, so that it does not matter which
				// of the two the API server sees first.
				"resources":    fields{"limits": fields{"memory": "128Mi"}, "requests": fields{"memory": "128Mi"}},
				"volumeMounts": list{fields{"name": "scratch", "mountPath": "/scratch"}},
			}},
			"volumes": list{fields{"name": "scratch", "emptyDir": fields{}}},
		},
	}
}

func networking() []*unstructured.Unstructured {
	port := fields{"name": "http", "port": int64(80), "targetPort": "http"}
	return []*unstructured.Unstructured{
		object("v1", "Service", "shop", fields{"spec": fields{
			"selector": fields{"app": "shop"}, "ports": list{port},
		}}),
		object("v1", "Service", "ledger", fields{"spec": fields{
			"selector": fields{"app": "ledger"}, "ports": list{port}, "clusterIP": "None",
		}}),
		object("v1", "Service", "payments", fields{"spec": fields{
			"type": "ExternalName", "externalName": "payments.example.com",
		}}),
		object("networking.k8s.io/v1", "Ingress", "shop", fields{"spec": fields{
			"rules": list{fields{"host": "shop.example.com", "http": fields{"paths": list{fields{
				"path": "/", "pathType": "Prefix",
				"backend": fields{"service": fields{"name": "shop", "port": fields{"name": "http"}}},
			}}}}},
		}}),
		object("networking.k8s.io/v1", "NetworkPolicy", "deny-all", fields{"spec": fields{
			"podSelector": fields{}, "policyTypes": list{"Ingress", "Egress"},
		}}),
	}
}

func access() []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		object("v1", "ServiceAccount", "shop", fields{"automountServiceAccountToken": true}),
		object("rbac.authorization.k8s.io/v1", "Role", "shop", fields{
			"rules": list{fields{"apiGroups": list{""}, "resources": list{"configmaps"}, "verbs": list{"get", "watch"}}},
		}),
		object("rbac.authorization.k8s.io/v1", "RoleBinding", "shop", fields{
			"roleRef":  fields{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "shop"},
			"subjects": list{fields{"kind": "User", "name": customers[0], "apiGroup": "rbac.authorization.k8s.io"}},
		}),
	}
}

func configuration() []*unstructured.Unstructured {
	content := content()
	var all []*unstructured.Unstructured
	for i := range configMaps {
		all = append(all, object("v1", "ConfigMap", fmt.Sprintf("settings-%02d", i), fields{
			"metadata":   fields{"annotations": fields{"example.com/contact": customers[i%len(customers)]}},
			"data":       fields{"GREETING": "Hello, " + customers[i%len(customers)], "EMPTY": "", "LINES": "a\r\nb\n\n"},
			"binaryData": fields{"icon": content(64 << i)},
		}))
	}
	for i := range secrets {
		all = append(all, object("v1", "Secret", fmt.Sprintf("secret-%02d", i), fields{
			"type": "Opaque", "data": fields{"binary": content(32 << i), "empty": "", "zeros": encode(make([]byte, 16))},
		}))
	}
	return append(all,
		object("v1", "ConfigMap", "largest", fields{"binaryData": fields{"blob": content(largest)}}),
		object("v1", "Secret", "half-a-mebibyte", fields{"data": fields{"blob": content(largest / 2)}}),
		object("v1", "ConfigMap", longestName, fields{"data": fields{"length": "250"}}),
		object("v1", "ConfigMap", "immutable", fields{"immutable": true, "data": fields{"fixed": "yes"}}),
	)
}

func (a *App) customResources() []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for i := range orders {
		all = append(all, object(orderGroup(a.Namespace)+"/v1", "Order", fmt.Sprintf("order-%03d", i), fields{
			"metadata": fields{"labels": fields{"priority": fmt.Sprint(i % 3)}},
			"spec": fields{
				"customer": customers[i%len(customers)], "名前": customers[(i+1)%len(customers)],
				// Neither survives a detour through a 64-bit float.
				"cents": int64(9007199254740993) + int64(i), "serial": int64(-9223372036854775808) + int64(i),
				"rate": 0.1 + float64(i), "paid": i%2 == 0,
				"nothing": nil, "empty": fields{}, "none": list{}, "items": list{int64(i), "two", fields{"three": nil}},
			},
		}))
	}
	return append(all, object(orderGroup(a.Namespace)+"/v1", "Order", "catalogue", fields{
		"spec": fields{"text": strings.Repeat(strings.Join(customers, "|"), 3000)},
	}))
}

type (
	fields = map[string]any
	list   = []any
)

func object(apiVersion, kind, name string, content fields) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: content}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetName(name)
	return o
}

// content returns a function for bytes that do not compress and are the same
// in every run, encoded as the API wants them.
func content() func(n int) string {
	source := rand.NewChaCha8([32]byte([]byte("bytes of the demo application...")))
	return func(n int) string {
		b := make([]byte, n)
		_, _ = source.Read(b) // never fails
		return encode(b)
	}
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
