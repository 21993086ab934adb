package azblob

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

const mib = 1 << 20

// Sizes of blocks in bytes. The largest is what every version of the API takes.
const (
	defaultBlockSize = 4 * mib
	minBlockSize     = 64 << 10
	maxBlockSize     = 100 * mib
)

// bufferMemory is what the buffers of all transfers take together, in bytes, unless
// two blocks are larger.
const bufferMemory = 32 * mib

// configKeys are the keys of a BackupStorageLocation.
func configKeys() config.Keys {
	return slices.Concat(config.Keys{
		config.String("bucket", "name of the container").SetByVelero(),
		config.String("prefix", "folder in the container; keys arrive with it").SetByVelero(),
		config.String("caCert", "PEM certificates that are trusted besides the system's, for Blob storage, Azure Resource Manager and the login service").SetByVelero(),
		config.String("credentialsFile", "path of a credentials file, set for spec.credential").Note("that of AZURE_CREDENTIALS_FILE"),
		config.String("storageAccount", "name of the storage account").Required("storageAccount is required in BSL"),
		config.String("resourceGroup", "resource group of the account, to look up its key and endpoint").Note("AZURE_RESOURCE_GROUP of the credentials"),
		config.String("subscriptionId", "subscription of the account, for the same").Note("AZURE_SUBSCRIPTION_ID of the credentials"),
		config.String("storageAccountKeyEnvVar", "name of the entry of the credentials that holds the account's key, such as AZURE_STORAGE_ACCOUNT_ACCESS_KEY").Note("the key is looked up"),
		config.Bool("useAAD", "send tokens of the identity, and no account key"),
		config.Custom("storageAccountURI", "URL", "address of the account's blobs; https:// may be left out", parseEndpoint).Note("looked up, else that of the account in its cloud"),
		config.String("storageAccountSASTokenEnvVar", "name of the entry of the credentials that holds a shared access signature of the container; replaces key and identity").Note("none"),
		config.Custom("storageAccountBlobEndpoint", "URL", "address of the account's blobs with a shared access signature", parseEndpoint).Note("that of the account in its cloud"),
		config.String("blockSizeInBytes", "size of an uploaded block, up to 104857600").Note(strconv.Itoa(defaultBlockSize)),
		config.Int("uploadConcurrency", 4, 1, 16, "blocks on their way while the next one is read, as far as 32 MiB of memory reach"),
		config.Unused("resticRepoPrefix", "read by Velero itself"),
	}, azureaccess.Keys())
}

// settings are a checked configuration.
type settings struct {
	bucket  string
	prefix  string
	account string

	group        string // "" for the credentials'
	subscription string // "" for the credentials'
	keyEntry     string // "" without one
	sasEntry     string // "" without one
	useAAD       bool
	endpoint     string // "" to find it
	sasEndpoint  string // "" for the default

	trust  endpoint.Trust
	access azureaccess.Access

	blockSize int // bytes
	buffers   int

	warnings []string
}

// parseSettings makes all checks that need neither a file nor the network.
func parseSettings(m map[string]string) (settings, error) {
	v, err := configKeys().Parse(m)
	if _, ok := m["region"]; ok {
		err = errors.Join(err, errors.New(azureaccess.RegionKey))
	}
	s := settings{
		bucket:       v.String("bucket"),
		prefix:       v.String("prefix"),
		account:      v.String("storageAccount"),
		group:        v.String("resourceGroup"),
		subscription: v.String("subscriptionId"),
		keyEntry:     v.String("storageAccountKeyEnvVar"),
		sasEntry:     v.String("storageAccountSASTokenEnvVar"),
		useAAD:       v.Bool("useAAD"),
		endpoint:     config.Get[string](v, "storageAccountURI"),
		sasEndpoint:  config.Get[string](v, "storageAccountBlobEndpoint"),
		trust:        endpoint.Trust{CACert: v.String("caCert")},
		access:       azureaccess.AccessOf(v),
	}
	for _, key := range []string{"storageAccountKeyEnvVar", "storageAccountSASTokenEnvVar"} {
		err = errors.Join(err, checkEntryName(key, v.String(key)))
	}
	if s.sasEntry != "" && s.useAAD {
		err = errors.Join(err, &fault.Error{
			What: "config keys storageAccountSASTokenEnvVar and useAAD exclude each other",
			Fix:  "remove one of them: a shared access signature is used without an identity",
		})
	}
	s.setBlocks(v.String("blockSizeInBytes"), v.Int("uploadConcurrency"))
	return s, err
}

// setBlocks chooses the size and the number of the buffers.
func (s *settings) setBlocks(text string, concurrency int) {
	s.blockSize = defaultBlockSize
	if text != "" {
		size, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil || size < 1:
			s.warn("blockSizeInBytes is no number of bytes from 1 to %d, so %d is used", maxBlockSize, defaultBlockSize)
		case size > maxBlockSize:
			s.warn("blockSizeInBytes is larger than Azure allows, so %d is used", maxBlockSize)
			s.blockSize = maxBlockSize
		case size < minBlockSize:
			s.warn("blockSizeInBytes is so small that uploads would hit the limit of 50000 blocks, so %d is used", minBlockSize)
			s.blockSize = minBlockSize
		default:
			s.blockSize = int(size)
		}
	}
	s.buffers = min(concurrency+1, max(bufferMemory/s.blockSize, 2))
}

func (s *settings) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

var entryName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// checkEntryName refuses what is no name of an entry. Users put the account's key
// itself there, which must not get into the status of the location.
func checkEntryName(key, name string) error {
	if name == "" || entryName.MatchString(name) {
		return nil
	}
	return &fault.Error{
		Code: config.InvalidValue, What: "config key " + key, Err: errors.New("the value looks like a key, expected the name of an entry of the credentials"),
		Fix: "put the key into the secret of the credentials as AZURE_STORAGE_ACCOUNT_ACCESS_KEY=..., and that name into " + key + "; replace the key, since it was in a configuration that others can read",
	}
}

// parseEndpoint reads an address, without the slash at its end.
func parseEndpoint(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Hostname() == "":
		return "", errors.New("expected a URL such as https://account.blob.core.windows.net")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("expected a URL that begins with https://")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", errors.New("expected a URL without a query: a shared access signature belongs into the credentials")
	}
	return strings.TrimRight(text, "/"), nil
}
