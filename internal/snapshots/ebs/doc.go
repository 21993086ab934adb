// Package ebs takes snapshots of EBS volumes and makes volumes of them.
package ebs
