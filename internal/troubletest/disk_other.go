//go:build !linux

package troubletest

import (
	"os"
	"testing"
)

// Disk is a small file system in memory.
type Disk struct {
	// Dir is where it is mounted.
	Dir string
}

// SmallDisk skips the test: a disk for one process alone is Linux's.
func SmallDisk(t *testing.T, _ int64, _ func(t *testing.T, d Disk)) {
	t.Helper()
	const what = "a full or read-only disk: no file system can be mounted but on Linux"
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip("SKIPPED: NOT TESTED is " + what)
}

// Fill does nothing.
func (Disk) Fill() (free func()) { return func() {} }

// ReadOnly does nothing.
func (Disk) ReadOnly(bool) {}
