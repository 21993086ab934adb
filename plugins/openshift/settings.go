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
