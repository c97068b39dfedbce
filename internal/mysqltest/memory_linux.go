package mysqltest

import "syscall"

// inMemory is a directory whose files are in memory, with room for a server, or
// empty.
func inMemory() string {
	const dir, room = "/dev/shm", 2 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < room { //nolint:gosec // a size of blocks is positive
		return ""
	}
	return dir
}
