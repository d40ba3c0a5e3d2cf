//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "NOT RUN: the power can be cut on Linux only, where FUSE file systems can be mounted")
	os.Exit(3)
}
