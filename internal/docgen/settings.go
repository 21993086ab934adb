package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/azuredisk"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/ebs"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
)

// variable is a row of the page of settings: an environment variable that a plugin
// reads.
type variable struct {
	name    string
	def     string // default, "" for none
	form    string // type or unit of the value
	plugins string
	about   string
}

// The names of plugins in the table.
const (
	all       = "all"
	cluster   = "velero-plugins, kubevirt-velero-plugin"
	openshift = "velero-plugins"
	aws       = "velero-plugin-for-aws"
	azure     = "velero-plugin-for-microsoft-azure"
	clouds    = aws + ", " + azure
	awsImages = aws + ", velero-plugins for images"
	azImages  = azure + ", velero-plugins for images"
)

// otherVariables are the variables that no config.Key declares. A test compares
// them with the sources.
var otherVariables = []variable{
	// Limits of every process that the SDK serves.
	{"OADP_PLUGIN_CLIENT_TIMEOUT", "1m", "duration, 0: no limit", all, "how long a plugin waits for Velero's first connection before it ends"},
	{"OADP_PLUGIN_DISCONNECT_GRACE", "5s", "duration, 0: no limit", all, "how long a plugin waits for another connection after the last one has ended"},
	{"OADP_PLUGIN_IDLE_EXIT", "0", "duration, 0: never", all, "a plugin ends after that long without a call; Velero starts it again when it needs it. Velero 1.14.0 leaves a process behind for each backup; `30m` ends them"},
	{"OADP_PLUGIN_STALL_TIMEOUT", "10m", "duration, 0: no limit", all, "how long Velero may take for one megabyte of an object before the transfer is given up"},
	{"OADP_PLUGIN_DRAIN_TIMEOUT", "10m", "duration, 0: no limit", all, "how long a plugin reads the rest of an upload that has failed"},
	{"PLUGIN_UNIX_SOCKET_DIR", "", "path of a folder", all, "folder of the plugin's socket, in place of a socket without a file"},
	{"PLUGIN_UNIX_SOCKET_GROUP", "", "name or number of a group", all, "group that may use the socket in a folder"},

	// What an administrator allows the locations of users.
	{credpolicy.AllowVariable, "", "list a,b", clouds + ", velero-plugins for images", "sources of credentials that the locations of users may use besides keys, as in `credential_process,endpoint_url`"},
	{credpolicy.TokenFilesVariable, "", "list of paths a,b", clouds + ", velero-plugins for images", "token files besides the known ones that a location may send to the token service of its cloud"},

	// The cluster.
	{"VELERO_NAMESPACE", "that of the pod, else velero", "name of a namespace", all, "namespace of Velero"},
	{"KUBECONFIG", "the pod's service account", "path of a file", aws + ", " + cluster, "how to reach the cluster outside of a pod"},
	{"KUBERNETES_SERVICE_HOST", "", "host", aws + ", " + cluster, "address of the cluster's API; Kubernetes sets it"},
	{"KUBERNETES_SERVICE_PORT", "", "port", aws + ", " + cluster, "port of the cluster's API; Kubernetes sets it"},

	// Networks and memory, by way of libraries.
	{"HTTPS_PROXY", "", "URL", clouds + ", " + cluster, "proxy for requests over HTTPS"},
	{"HTTP_PROXY", "", "URL", clouds + ", " + cluster, "proxy for requests over HTTP"},
	{"NO_PROXY", "", "list of hosts, domains and networks a,b", clouds + ", " + cluster, "servers that are reached without a proxy"},
	{"GOGC", "60", "percent", clouds, "how much the heap may grow before the next garbage collection; the other plugins have Go's default, 100"},

	// AWS and what speaks its protocols.
	{awsaccess.BundleVariable, "", "path of a PEM file", awsImages, "authorities that are trusted besides the system's"},
	{"AWS_ACCESS_KEY_ID", "", "key id", awsImages, "access key, where a location has no credentials of its own"},
	{"AWS_SECRET_ACCESS_KEY", "", "secret", awsImages, "secret key of AWS_ACCESS_KEY_ID"},
	{"AWS_SESSION_TOKEN", "", "secret", awsImages, "session token of AWS_ACCESS_KEY_ID"},
	{"AWS_SHARED_CREDENTIALS_FILE", "", "path of a file", awsImages, "credentials file; OADP sets it to that of the default secret"},
	{"AWS_CONFIG_FILE", "", "path of a file", awsImages, "configuration file with further settings of the profiles"},
	{"AWS_PROFILE", "", "name of a profile", awsImages, "profile of the credentials file"},
	{"AWS_DEFAULT_PROFILE", "default", "name of a profile", awsImages, "profile where AWS_PROFILE is not set"},
	{"AWS_REGION", "", "name of a region", awsImages, "region of a store other than AWS whose location has none"},
	{"AWS_DEFAULT_REGION", "us-east-1", "name of a region", awsImages, "region where AWS_REGION is not set"},
	{"AWS_ROLE_ARN", "", "ARN", awsImages, "role that AWS_WEB_IDENTITY_TOKEN_FILE opens"},
	{"AWS_ROLE_SESSION_NAME", "", "text", awsImages, "name of the session of AWS_ROLE_ARN"},
	{"AWS_WEB_IDENTITY_TOKEN_FILE", "", "path of a file", awsImages, "token of the pod's web identity"},
	{"AWS_ENDPOINT_URL", "AWS", "URL", awsImages, "server for all services that have no variable of their own"},
	{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "URL", awsImages, "object store where a location has no s3Url"},
	{"AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL", "URL", aws, "EC2 service where a location has no ec2Url"},
	{"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL", "URL", awsImages, "token service"},
	{"AWS_CLUSTER_NAME", "", "name of a cluster", aws, "restored volumes get the tags of this cluster"},

	// Azure.
	{"AZURE_CREDENTIALS_FILE", "", "path of a file", azImages, "credentials file; OADP sets it to that of the default secret"},
	{"AZURE_TENANT_ID", "", "id", azImages, "tenant of the pod's workload identity"},
	{"AZURE_CLIENT_ID", "", "id", azImages, "application of the pod's workload identity"},
	{credfile.AzureFederatedTokenFile, "", "path of a file", azImages, "token of the pod's workload identity"},
	{"IDENTITY_ENDPOINT", "the virtual machine's", "URL", azure, "service that gives tokens of the managed identity; Azure sets it"},
	{"MSI_ENDPOINT", "the virtual machine's", "URL", azure, "older name of IDENTITY_ENDPOINT"},

	// Google Cloud.
	{"GOOGLE_APPLICATION_CREDENTIALS", "", "path of a file", "velero-plugins for images", "credentials file; OADP sets it to that of the default secret"},
}

// notSettings are names in the sources that look like variables of the environment
// and that no plugin reads there as a setting, with the reason.
var notSettings = map[string]string{
	"VELERO_PLUGIN":         ofProcess,
	"PLUGIN_CLIENT_CERT":    ofProcess,
	"PLUGIN_MULTIPLEX_GRPC": ofProcess,

	"AZURE_ADDITIONALLY_ALLOWED_TENANTS":  fileEntry,
	"AZURE_AUTHORITY_HOST":                fileEntry,
	"AZURE_CLIENT_CERTIFICATE":            fileEntry,
	"AZURE_CLIENT_CERTIFICATE_PASSWORD":   fileEntry,
	"AZURE_CLIENT_CERTIFICATE_PATH":       fileEntry,
	"AZURE_CLIENT_SECRET":                 fileEntry,
	"AZURE_CLIENT_SEND_CERTIFICATE_CHAIN": fileEntry,
	"AZURE_CLOUD_NAME":                    fileEntry,
	"AZURE_RESOURCE_GROUP":                fileEntry,
	"AZURE_STORAGE_ACCOUNT_ACCESS_KEY":    fileEntry,
	"AZURE_STORAGE_KEY":                   fileEntry,
	"AZURE_SUBSCRIPTION_ID":               fileEntry,
	"AZURE_USERNAME":                      fileEntry,
}

const (
	ofProcess = "Velero sets it for each process of a plugin"
	fileEntry = "an entry of Azure's credentials file, as docs/azure.md describes them"
)

// allVariables returns the rows of the page, sorted by name.
func allVariables() []variable {
	rows := slices.Clone(otherVariables)
	for _, declared := range []struct {
		plugin string
		keys   config.Keys
	}{
		{aws, (&s3.Store{}).ConfigKeys()},
		{aws, (&ebs.Snapshotter{}).ConfigKeys()},
		{azure, (&azblob.Store{}).ConfigKeys()},
		{azure, (&azuredisk.Snapshotter{}).ConfigKeys()},
		{openshift, settings.Keys},
	} {
		for _, key := range declared.keys {
			if key.Env != "" {
				rows = append(rows, variable{key.Env, key.Default, string(key.Type), declared.plugin, key.About})
			}
		}
	}
	slices.SortFunc(rows, func(a, b variable) int { return cmp.Compare(a.name, b.name) })
	return rows
}

const settingsHead = `# Settings

<!-- Written by make generate. -->

These are the variables of the environment that the plugins read. Velero passes its environment on to its plugins, so
they are set at the container of the Velero pod; with OADP in the DataProtectionApplication:

    spec:
      configuration:
        velero:
          podConfig:
            env:
              - name: OADP_IMAGE_GC_GRACE
                value: 48h

A duration is written as in ` + "`90s`, `10m` or `1h30m`" + `. A variable of the form ` + "`OADP_AWS_VSL_...` or `OADP_AZURE_VSL_...`" + ` sets a
key of volume snapshot locations, and the key in the location itself counts first: the guides of the plugins have the keys.
The libraries of the clouds read more variables than these. The entries of credentials files, such as ` + "`AZURE_CLIENT_SECRET`" + `,
are in the guides too.

`

// settingsPage returns the page of environment variables.
func settingsPage(rows []variable) []byte {
	var b bytes.Buffer
	b.WriteString(settingsHead)
	b.WriteString("| variable | default | type or unit | plugin | meaning |\n|---|---|---|---|---|\n")
	for _, v := range rows {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n",
			v.name, cell(cmp.Or(v.def, "-")), cell(v.form), strings.ReplaceAll(v.plugins, ", ", ",<br>"), cell(v.about))
	}
	return b.Bytes()
}
