package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// component is a program that tests run.
type component struct {
	// programs are its names, or patterns of its path; one of them suffices.
	programs []string
	// packages are the Debian packages it comes in.
	packages []string
	// tests says what is not tested without it.
	tests string
}

func (c component) name() string { return c.programs[0] }

// components are all of them.
var components = []component{
	{[]string{"openssl"}, []string{"openssl"}, "that others read our CMS, and a device that shares no code with us"},
	{[]string{"python3"}, []string{"python3"}, "a device that shares no code with us"},
	{[]string{"curl"}, []string{"curl"}, "the portal by hand"},
	{[]string{"xmllint"}, []string{"libxml2-utils"}, "that others read our property lists"},
	{
		[]string{"chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"},
		[]string{"chromium"},
		"the portal in a browser",
	},
	{
		[]string{"postgres", "/usr/lib/postgresql/*/bin/postgres", "/usr/pgsql-*/bin/postgres", "/opt/homebrew/opt/postgresql@*/bin/postgres"},
		[]string{"postgresql"},
		"storage/postgres",
	},
	{[]string{"mariadbd", "/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd"}, []string{"mariadb-server"}, "storage/mysql"},
	{[]string{"nginx", "/usr/sbin/nginx"}, []string{"nginx"}, "the snippets for a customer's nginx"},
	{[]string{"apache2", "httpd", "/usr/sbin/apache2"}, []string{"apache2-bin"}, "the snippets for a customer's Apache"},
	{[]string{"zbarimg"}, []string{"zbar-tools"}, "that the code on a desktop's page can be scanned"},
	{[]string{"glewlwyd"}, []string{"glewlwyd"}, "signing in at an identity provider of others"},
}

// compiler is what the race detector needs.
var compiler = component{[]string{"gcc", "cc", "clang"}, []string{"gcc", "libc6-dev"}, "anything, under the race detector"}

func (c component) present() bool {
	for _, p := range c.programs {
		if strings.Contains(p, "/") {
			if found, err := filepath.Glob(p); err == nil && len(found) > 0 {
				return true
			}
		} else if _, err := exec.LookPath(p); err == nil {
			return true
		}
	}
	return false
}

func absent(list []component) []component {
	var out []component
	for _, c := range list {
		if !c.present() {
			out = append(out, c)
		}
	}
	return out
}

// provide installs what is missing where it can, and returns what still is.
func provide(ctx context.Context, out io.Writer, race bool) []component {
	wanted := components
	if race {
		wanted = append([]component{compiler}, wanted...)
	}
	missing := absent(wanted)
	if len(missing) == 0 || os.Getuid() != 0 || !exists("/etc/debian_version") {
		return missing
	}
	defer keepServicesDown(out)()
	apt := func(args ...string) {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			fmt.Fprintf(out, "apt-get %s: %v\n", strings.Join(args, " "), err)
		}
	}
	apt("update", "-q")
	// One by one: a package that a release lacks must not take the others along.
	for _, c := range missing {
		if c.present() {
			continue // it came along with another
		}
		apt(append([]string{"install", "-qy", "--no-install-recommends"}, c.packages...)...)
	}
	return absent(missing)
}

// policy tells Debian's packages to start no service when they are installed:
// the tests run their own, in directories of their own.
const policy = "/usr/sbin/policy-rc.d"

func keepServicesDown(out io.Writer) (restore func()) {
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		if !os.IsExist(err) {
			fmt.Fprintf(out, "installed services may be started: %v\n", err)
		}
		return func() {}
	}
	_, err = io.WriteString(f, "#!/bin/sh\nexit 101\n")
	if err := errors.Join(err, f.Close()); err != nil {
		fmt.Fprintf(out, "installed services may be started: %v\n", err)
	}
	return func() {
		if err := os.Remove(policy); err != nil {
			fmt.Fprintln(out, err)
		}
	}
}
