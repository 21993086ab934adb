// Package kube is how plugins reach the cluster: a client that connects on
// first use, reads to which an absent API is a value and no error, and a memo
// for what the items of a backup ask again and again.
//
// It holds the dynamic client only. The typed clients would make a plugin's
// binary three times as large and its start twice as long.
package kube
