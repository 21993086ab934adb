package main

import (
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// settings come from the environment: a DataProtectionApplication can set that
// of Velero, but no configuration of an action.
type settings struct{ config.Values }

// Names of the settings.
const (
	imagesSetting       = "images"
	imagesFirstSetting  = "imagesBeforePods"
	cleanupSetting      = "imageCleanup"
	graceSetting        = "imageCleanupGrace"
	copyImagesSetting   = "imageCopyImages"
	copyBlobsSetting    = "imageCopyBlobs"
	insecureSetting     = "registryInsecure"
	routeDomainsSetting = "routeDomains"
	triggersSetting     = "imageTriggers"
	triggersTimeSetting = "imageTriggersTimeout"
)

// Values of triggersSetting.
const (
	triggersOfVolumes = "volumes"
	triggersOfAll     = "all"
	triggersOfNone    = "none"
)

var settingKeys = config.Keys{
	config.Bool(imagesSetting, "copy the images of image streams; OADP sets it for spec.backupImages").
		OrEnv("OPENSHIFT_IMAGESTREAM_BACKUP"),
	config.Bool(imagesFirstSetting, "restore the image streams of a pod's images before the pod").
		Or("false").OrEnv("OPENSHIFT_IMAGES_BEFORE_PODS"),
	config.Int(copyImagesSetting, 4, 1, 64, "images that are copied at a time").OrEnv("OADP_IMAGE_COPY_IMAGES"),
	config.Int(copyBlobsSetting, 4, 1, 64, "layers of each image that are copied at a time").OrEnv("OADP_IMAGE_COPY_BLOBS"),
	config.Bool(cleanupSetting, "delete the images of deleted backups from the bucket").Or("true").OrEnv("OADP_IMAGE_GC"),
	config.Duration(graceSetting, 24*time.Hour, "how long an image stays in the bucket after the last backup with it was deleted").
		OrEnv("OADP_IMAGE_GC_GRACE"),
	config.Bool(insecureSetting, "do not verify the certificate of the cluster's registry").Or("false").OrEnv("OADP_REGISTRY_INSECURE"),
	config.Map(routeDomainsSetting, ",", "=", "domains of routes, and those that replace them on restore").
		OrEnv("OPENSHIFT_ROUTE_DOMAINS"),
	config.Choice(triggersSetting, "restored workloads whose image triggers wait for their pods: those with volumes or restore hooks, all, or none",
		triggersOfVolumes, triggersOfAll, triggersOfNone).Or(triggersOfVolumes).OrEnv("OPENSHIFT_PAUSE_IMAGE_TRIGGERS"),
	config.Duration(triggersTimeSetting, time.Hour, "how long paused image triggers wait, from the time at which all objects are restored").
		OrEnv("OPENSHIFT_PAUSE_IMAGE_TRIGGERS_TIMEOUT"),
}

func readSettings() (settings, error) {
	values, err := settingKeys.Parse(nil)
	return settings{values}, err
}
