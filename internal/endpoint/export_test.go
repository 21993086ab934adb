package endpoint

// IsAmong is isAmong for the tests of package endpoint_test.
var IsAmong = isAmong
