module github.com/oadp-plugins/oadp-plugins/test/support/slowlink

go 1.26.0
