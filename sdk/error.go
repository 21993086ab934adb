package sdk

import "github.com/oadp-plugins/oadp-plugins/sdk/fault"

// Error is an error with a code and a fix; see [fault.Error]. A plugin may
// return any error; those that an administrator has to act on should be of
// this type.
type Error = fault.Error

// Code identifies a kind of failure; see [fault.Code].
type Code = fault.Code
