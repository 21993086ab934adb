// Package settings reads the settings of the plugin. They come from the
// environment, since a DataProtectionApplication can set that of Velero, but no
// configuration of an action.
package settings

import (
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// Names of the settings.
const (
	Images       = "images"
	ImagesFirst  = "imagesBeforePods"
	Cleanup      = "imageCleanup"
	Grace        = "imageCleanupGrace"
	CopyImages   = "imageCopyImages"
	CopyBlobs    = "imageCopyBlobs"
	Insecure     = "registryInsecure"
	RouteDomains = "routeDomains"
	Triggers     = "imageTriggers"
	TriggersTime = "imageTriggersTimeout"
)

// Values of Triggers.
const (
	TriggersOfVolumes = "volumes"
	TriggersOfAll     = "all"
	TriggersOfNone    = "none"
)

// Keys are the settings and the variables of the environment that they come from.
var Keys = config.Keys{
	config.Bool(Images, "copy the images of image streams; OADP sets it for spec.backupImages").
		OrEnv("OPENSHIFT_IMAGESTREAM_BACKUP"),
	config.Bool(ImagesFirst, "restore the image streams of a pod's images before the pod").
		Or("false").OrEnv("OPENSHIFT_IMAGES_BEFORE_PODS"),
	config.Int(CopyImages, 4, 1, 64, "images that are copied at a time").OrEnv("OADP_IMAGE_COPY_IMAGES"),
	config.Int(CopyBlobs, 4, 1, 64, "layers of each image that are copied at a time").OrEnv("OADP_IMAGE_COPY_BLOBS"),
	config.Bool(Cleanup, "delete the images of deleted backups from the bucket").Or("true").OrEnv("OADP_IMAGE_GC"),
	config.Duration(Grace, 24*time.Hour, "how long an image stays in the bucket after the last backup with it was deleted").
		OrEnv("OADP_IMAGE_GC_GRACE"),
	config.Bool(Insecure, "do not verify the certificate of the cluster's registry").Or("false").OrEnv("OADP_REGISTRY_INSECURE"),
	config.Map(RouteDomains, ",", "=", "domains of routes and those that replace them on restore, as in `old.example=new.example,a.example=b.example`; the longest domain wins").
		OrEnv("OPENSHIFT_ROUTE_DOMAINS"),
	config.Choice(Triggers, "restored workloads whose image triggers wait for their pods: those with volumes or restore hooks, all, or none",
		TriggersOfVolumes, TriggersOfAll, TriggersOfNone).Or(TriggersOfVolumes).OrEnv("OPENSHIFT_PAUSE_IMAGE_TRIGGERS"),
	config.Duration(TriggersTime, time.Hour, "how long paused image triggers wait, from the time at which all objects are restored").
		OrEnv("OPENSHIFT_PAUSE_IMAGE_TRIGGERS_TIMEOUT"),
}

// Read reads the settings from the environment.
func Read() (config.Values, error) { return Keys.Parse(nil) }
