// Package ebs takes snapshots of EBS volumes and makes volumes of them. The ids of
// snapshots in backups are those of EC2, as the plugin replaced has always written
// them:
//
//	snap-0123456789abcdef0
package ebs
