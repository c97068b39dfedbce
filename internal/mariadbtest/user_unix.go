//go:build unix

package mariadbtest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// unprivileged is the user that a server runs as when the tests run as root,
// which it refuses.
func unprivileged() (uid, gid int, err error) {
	for _, name := range []string{"mysql", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return 0, 0, err
		}
		gid, err := strconv.Atoi(u.Gid)
		return uid, gid, err
	}
	return 0, 0, fmt.Errorf("%w: no user to run it as", ErrMissing)
}

// demote makes a command run as that user.
func demote(cmd *exec.Cmd) error {
	// A signal for the tests, such as an interrupt, is not for the server: it
	// ends when they are gone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := unprivileged()
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // from /etc/passwd
	cmd.Env = append(os.Environ(), "HOME=/")
	return nil
}

// give makes that user the owner of a directory.
func give(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := unprivileged()
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}
