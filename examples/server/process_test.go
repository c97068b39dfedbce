package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/porttest"
)

// process is a node in a process of its own, which can be killed.
type process struct {
	t             testing.TB
	config        string
	listen, admin string
	log           *logged // of all its lives
	cmd           *exec.Cmd
}

// logged is a log that is read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newProcess(t testing.TB, config string) *process {
	t.Helper()
	p := &process{t: t, config: config, listen: porttest.Address(t), admin: porttest.Address(t), log: &logged{}}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	return p
}

// start does not wait until the node answers.
func (p *process) start() {
	p.cmd = exec.Command(os.Args[0], "-config", p.config, "-listen", p.listen, "-admin", p.admin)
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	require.NoError(p.t, p.cmd.Start())
}

// status is what the admin address answers, 0 for nothing.
func (p *process) status(path string) int {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Get("http://" + p.admin + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// kill leaves the process no chance to do anything.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()
	p.cmd = nil
}

// crash kills the process, which must not have ended by itself.
func (p *process) crash() error {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	p.cmd = nil
	if !ok || !status.Signaled() {
		return fmt.Errorf("a node ended by itself: %s", p.log)
	}
	return nil
}

// stop asks the process to end, and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	_ = p.cmd.Wait()
	code := p.cmd.ProcessState.ExitCode()
	p.cmd = nil
	return code
}
