module github.com/oadp-plugins/oadp-plugins/test/slowlink

go 1.26.0
