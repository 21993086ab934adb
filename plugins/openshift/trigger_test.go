package main

import "testing"

func testTriggers(t *testing.T) {}
