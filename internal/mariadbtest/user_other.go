//go:build !unix

package mariadbtest

import "os/exec"

func demote(*exec.Cmd) error { return ErrMissing }

func give(string) error { return ErrMissing }
