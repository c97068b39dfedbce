//go:build unix

// Package unprivileged runs the private servers of tests as another user, where
// the tests run as root: neither PostgreSQL nor MySQL does.
package unprivileged

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// Account is who runs a server; nil is who we are.
type Account struct{ uid, gid uint32 }

// Find is who may run a server: the user that its package made, or nobody. It is
// nil when we are not root.
func Find(name string) (*Account, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("no unprivileged user: %w", err)
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	return &Account{uint32(uid), uint32(gid)}, nil
}

// Own gives a file or directory to the account.
func (a *Account) Own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// Run makes a command run by the account, out of the reach of a Ctrl-C that is
// meant for the tests: the server ends with those.
func (a *Account) Run(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
}
