//go:build !unix

package mysqltest

import "os/exec"

// account is who runs the server.
type account struct{ uid, gid uint32 }

func unprivileged() (*account, error) { return nil, ErrMissing }

func (a *account) run(*exec.Cmd) {}
