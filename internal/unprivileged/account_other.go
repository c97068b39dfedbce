//go:build !unix

package unprivileged

import (
	"errors"
	"os/exec"
)

// Account is who runs a server.
type Account struct{}

// Find returns errors.ErrUnsupported: servers of tests run on Unix.
func Find(string) (*Account, error) { return nil, errors.ErrUnsupported }

// Own gives a file or directory to the account.
func (a *Account) Own(string) error { return errors.ErrUnsupported }

// Run makes a command run by the account.
func (a *Account) Run(*exec.Cmd) {}
