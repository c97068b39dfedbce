//go:build !linux

package mysqltest

// inMemory is a directory whose files are in memory, or empty.
func inMemory() string { return "" }
