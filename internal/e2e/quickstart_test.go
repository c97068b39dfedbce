package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// safari is the agent of Safari on iOS 17.6.
const safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1"

// binaries is where programs under test are built, for all tests of this package.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// quickstartBinary builds the quickstart once.
var quickstartBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "quickstart")
	cmd := exec.Command("go", "build", "-o", path, "./examples/quickstart")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the quickstart: %w\n%s", err, out)
	}
	return path, nil
})

// need returns the path of a program, or skips the test; in CI it must be there.
func need(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing", names[0])
	}
	t.Skipf("SKIPPED: %s is missing", names[0])
	return ""
}

// quickstart is the program, running.
type quickstart struct {
	// Base is its base URL, Portal the address of the landing page.
	Base, Portal *url.URL
	// CA is the file of the authority that its TLS certificate chains to,
	// DeviceCA those of the simulated device CA, without .pem and .key.
	CA, DeviceCA string
	tls          *tls.Config
	client       *http.Client
}

// startQuickstart runs the quickstart without a device of its own, on a free
// port and a new data directory, until the test ends.
func startQuickstart(t *testing.T, args ...string) *quickstart {
	t.Helper()
	program, err := quickstartBinary()
	require.NoError(t, err)
	data := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, append([]string{"-no-device", "-json", "-addr", "127.0.0.1:0", "-data", data}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience // then it is killed, which is a failure
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { // the context of the test has ended
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("quickstart: %v", err)
		}
		if t.Failed() {
			t.Logf("quickstart wrote:\n%s", log.String())
		}
	})

	var step struct {
		Step   string
		OK     bool
		Error  string
		Detail struct{ URL, APNs, Data string }
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(t, err, "no line of the quickstart")
	require.NoError(t, json.Unmarshal(line, &step), "%s", line)
	require.Equal(t, "listen", step.Step)
	require.True(t, step.OK, step.Error)
	require.Equal(t, data, step.Detail.Data)

	q := &quickstart{CA: filepath.Join(data, "ca.pem"), DeviceCA: filepath.Join(data, "device-ca")}
	q.Portal, err = url.Parse(step.Detail.URL)
	require.NoError(t, err)
	q.Base = q.Portal.ResolveReference(&url.URL{Path: "/"})
	q.Portal = q.Base.JoinPath("enroll")
	pem, err := os.ReadFile(q.CA)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	q.tls = &tls.Config{RootCAs: roots}
	// The quickstart closes connections that are idle. While the test waits for
	// other programs, a client that keeps one may send a request that cannot be
	// sent again, such as a file, to where nobody reads.
	q.client = &http.Client{Transport: &http.Transport{TLSClientConfig: q.tls, DisableKeepAlives: true}}
	return q
}

// state is what the quickstart stores, as /state tells it.
type state struct {
	Users []struct {
		ID, Issuer, Subject string
		Groups              []string
		ManagedAppleAccount string `json:"managed_apple_account"`
		Suspended           bool
	}
	Tickets []struct {
		Ref, User, State, Ownership, Issued string
		Downloads                           int
	}
	Enrollments []struct {
		EnrollmentID        string `json:"enrollment_id"`
		User, Ticket, State string
		Certificate         string `json:"certificate_sha256"`
	}
	Commands []struct {
		UUID         string `json:"command_uuid"`
		EnrollmentID string `json:"enrollment_id"`
		RequestType  string `json:"request_type"`
		Status       string
	}
	Pushes []struct {
		EnrollmentID string `json:"enrollment_id"`
		Status       any
		Time         string
	}
}

func (q *quickstart) state(t *testing.T) state {
	t.Helper()
	resp, err := q.client.Get(q.Base.JoinPath("state").String())
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	var s state
	require.NoError(t, json.Unmarshal(body, &s))
	return s
}
