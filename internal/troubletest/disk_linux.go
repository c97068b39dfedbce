package troubletest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// diskVariable tells a child where its small disk is.
const diskVariable = "ENROLLKIT_SMALL_DISK"

// Disk is a small file system in memory.
type Disk struct {
	t *testing.T
	// Dir is where it is mounted, open to every user.
	Dir string
}

// SmallDisk runs a test on a small disk of so many bytes: in a process of its own,
// where the disk is mounted for that process alone, and which runs the test that
// calls SmallDisk again up to there. TMPDIR is on it. The test is skipped where
// that is not allowed, and fails with CI=true.
func SmallDisk(t *testing.T, size int64, test func(t *testing.T, d Disk)) {
	t.Helper()
	if dir := os.Getenv(diskVariable); dir != "" {
		// Nobody else is to see the disk. Where / is not a mount, as in a chroot, others
		// may see it until it is unmounted.
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil && !errors.Is(err, syscall.EINVAL) {
			missing(t, err)
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=1777", size)); err != nil {
			missing(t, err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		test(t, Disk{t, dir})
		return
	}
	// Not below the directory of a test: that is closed to servers of other users.
	dir, err := os.MkdirTemp("", "disk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })  // what is on the disk is gone already
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for servers of other users
		t.Fatal(err)
	}
	var pattern []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.count=1", "-test.run="+strings.Join(pattern, "/")) //nolint:gosec // the test itself
	child.Env = append(os.Environ(), diskVariable+"="+dir, "TMPDIR="+dir)
	child.SysProcAttr = namespace()
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOSPC) {
		missing(t, err)
	}
	t.Logf("on a disk of %d MiB:\n%s", size>>20, out)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "--- SKIP") {
		missing(t, errors.New("the child was not allowed to mount"))
	}
}

// namespace lets a child mount what it alone sees. Who is not root needs a
// namespace of users for that.
func namespace() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		const sysAdmin = 21 // CAP_SYS_ADMIN, in that namespace
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		attr.AmbientCaps = []uintptr{sysAdmin}
	}
	return attr
}

func missing(t *testing.T, err error) {
	t.Helper()
	const what = "a full or read-only disk: no file system can be mounted"
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("SKIPPED: NOT TESTED is %s: %v", what, err)
}

// Fill takes all the room that is left, and returns what gives it back.
func (d Disk) Fill() (free func()) {
	d.t.Helper()
	path := filepath.Join(d.Dir, "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	for block := make([]byte, 1<<20); len(block) > 0; {
		_, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		d.t.Fatal(err)
	}
	return func() {
		d.t.Helper()
		if err := os.Remove(path); err != nil {
			d.t.Fatal(err)
		}
	}
}

// ReadOnly mounts the disk read-only, or as it was again. No file on it may be
// open for writing.
func (d Disk) ReadOnly(on bool) {
	d.t.Helper()
	flags := uintptr(syscall.MS_REMOUNT)
	if on {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("tmpfs", d.Dir, "tmpfs", flags, ""); err != nil {
		d.t.Fatal(err)
	}
}
