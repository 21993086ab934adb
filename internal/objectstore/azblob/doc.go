// Package azblob keeps backups in containers of Azure Blob storage. It checks and
// reads the configuration of a backup storage location, finds the account's
// endpoint and key, and explains what the service answers.
package azblob
