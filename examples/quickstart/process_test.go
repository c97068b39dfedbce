package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/porttest"
)

// process is the program in a process of its own, which can be killed.
type process struct {
	t    *testing.T
	dir  string
	addr string
	args []string // beside those of every test
	cmd  *exec.Cmd
	log  *bytes.Buffer // of all its lives
}

// crashBase is the base URL: the same whatever the port, so that states can be
// compared.
const crashBase = "https://quickstart.example"

func newProcess(t *testing.T, dir string) *process {
	t.Helper()
	p := &process{t: t, dir: dir, addr: porttest.Address(t), log: &bytes.Buffer{}}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	return p
}

// start returns when the port is listened on.
func (p *process) start() {
	p.t.Helper()
	stdout := p.launch()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(p.t, err, "the program does not start: %s", p.log)
	var l told
	require.NoError(p.t, json.Unmarshal(line, &l))
	require.True(p.t, l.OK, "%s", line)
	require.Equal(p.t, "listen", l.Step)
}

func (p *process) launch() io.Reader {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0], append([]string{"-no-device", "-json", "-addr", p.addr, "-base-url", crashBase, "-data", p.dir}, p.args...)...)
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, p.cmd.Start())
	return stdout
}

// kill leaves the process no chance to do anything.
func (p *process) kill() {
	p.t.Helper()
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()
	p.cmd = nil
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

func (p *process) roots() *x509.CertPool {
	p.t.Helper()
	pem, err := os.ReadFile(filepath.Join(p.dir, "ca.pem"))
	require.NoError(p.t, err)
	roots := x509.NewCertPool()
	require.True(p.t, roots.AppendCertsFromPEM(pem))
	return roots
}

// transport opens a connection for each request, since none outlives a kill.
func (p *process) transport() *http.Transport {
	p.t.Helper()
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", p.addr)
		},
		TLSClientConfig:   &tls.Config{RootCAs: p.roots(), MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}
}

// state asks for /state until the pushes that were asked for are done with.
func (p *process) state(pushes int) stored {
	p.t.Helper()
	client := &http.Client{Transport: p.transport()}
	var state stored
	require.Eventually(p.t, func() bool {
		resp, err := client.Get(crashBase + "/state")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		state = nil
		if json.NewDecoder(resp.Body).Decode(&state) != nil {
			return false
		}
		done := 0
		for _, push := range state["pushes"] {
			if push["status"] == 200.0 { // one that timed out is tried again
				done++
			}
		}
		return done == pushes
	}, time.Minute, 50*time.Millisecond, "pushes are still open")
	return state
}
