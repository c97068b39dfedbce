//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package journal

import (
	"fmt"
	"os"
	"syscall"
)

// lock keeps other processes out for as long as the file is open.
func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a file descriptor is an int
		return fmt.Errorf("another process has it open: %w", err)
	}
	return nil
}
