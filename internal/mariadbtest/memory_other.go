//go:build !linux

package mariadbtest

// inMemory is a directory whose files are in memory, or empty.
func inMemory() string { return "" }
