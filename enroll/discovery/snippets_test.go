package discovery_test

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/internal/porttest"
)

const snippets = "snippets"

func readSnippet(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(snippets, name))
	require.NoError(t, err)
	return string(b)
}

// The committed file is what the handler of such a configuration serves.
func TestSnippetFileIsTheHandlersAnswer(t *testing.T) {
	h, _ := newHandler(t)
	file, err := h.StaticFile("example.com")
	require.NoError(t, err)
	require.Equal(t, string(file), readSnippet(t, "com.apple.remotemanagement"))
}

func TestSnippetsNamePathAndType(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(snippets, "*.conf"))
	require.NoError(t, err)
	require.Len(t, found, 4)
	for _, path := range found {
		text := readSnippet(t, filepath.Base(path))
		require.Contains(t, text, discovery.Path, path)
		if strings.HasSuffix(path, "-file.conf") {
			require.Regexp(t, `(default_type|ForceType) application/json\b`, text, path)
		}
	}
}

// webServer is a program that serves a mail domain's web site.
type webServer struct {
	names []string
	// config is a whole configuration around the lines of a snippet; the site's
	// own files are in dir.
	config func(t *testing.T, program, dir, address, snippet string) string
	args   func(dir, config string) []string
}

var webServers = map[string]webServer{
	"nginx": {
		names: []string{"nginx"},
		config: func(_ *testing.T, _, dir, address, snippet string) string {
			return fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr;
				events {}
				http {
					access_log off;
					types { text/html html; application/octet-stream remotemanagement; }
					charset utf-8;
					client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
					server { listen %[2]s; root %[1]s/site;
						%[3]s
					}
				}`, dir, address, snippet)
		},
		args: func(dir, config string) []string { return []string{"-p", dir, "-e", "stderr", "-c", config} },
	},
	"apache": {
		names: []string{"apache2", "httpd"},
		config: func(t *testing.T, program, dir, address, snippet string) string {
			var modules strings.Builder
			for _, m := range []string{"mpm_event", "authz_core", "alias", "mime"} {
				if file := apacheModule(program, "mod_"+m+".so"); file != "" {
					fmt.Fprintf(&modules, "<IfModule !%[1]s_module>\nLoadModule %[1]s_module %[2]s\n</IfModule>\n", m, file)
				}
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, "mime.types"), []byte("application/octet-stream remotemanagement\n"), 0o600))
			return fmt.Sprintf(`%[4]s
				ServerRoot %[1]s
				ServerName example.com
				Listen %[2]s
				PidFile %[1]s/pid
				ErrorLog /dev/stderr
				TypesConfig %[1]s/mime.types
				AddDefaultCharset utf-8
				DocumentRoot %[1]s/site
				<Directory />
					Require all denied
				</Directory>
				%[3]s
				`, dir, address, snippet, modules.String())
		},
		args: func(_, config string) []string { return []string{"-D", "FOREGROUND", "-f", config} },
	},
}

// apacheModule is the path of a module, "" where the program has it built in.
func apacheModule(program, name string) string {
	prefix := filepath.Dir(filepath.Dir(program))
	for _, dir := range []string{"lib/apache2/modules", "libexec/apache2", "lib64/httpd/modules"} {
		if path := filepath.Join(prefix, dir, name); exists(path) {
			return path
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// find is the path of the program, "" where it is missing. Debian keeps servers
// out of the search path of ordinary users.
func (s webServer) find() string {
	for _, name := range s.names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		if path := filepath.Join("/usr/sbin", name); exists(path) {
			return path
		}
	}
	return ""
}

// run starts the program with the snippet and returns its address.
func (s webServer) run(t *testing.T, snippet string) string {
	t.Helper()
	program := s.find()
	if program == "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing", s.names[0])
		}
		t.Skipf("SKIPPED: %s is missing, nothing proves that it takes the snippet", s.names[0])
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "site"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "srv"), 0o755))
	document := filepath.Join(dir, "srv", "com.apple.remotemanagement")
	require.NoError(t, os.WriteFile(document, []byte(readSnippet(t, "com.apple.remotemanagement")), 0o644))
	snippet = strings.ReplaceAll(snippet, "/srv/enroll/com.apple.remotemanagement", document)

	address := porttest.Address(t)
	config := filepath.Join(dir, "conf")
	require.NoError(t, os.WriteFile(config, []byte(s.config(t, program, dir, address, snippet)), 0o600))

	var stderr strings.Builder
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, s.args(dir, config)...)
	cmd.Stderr = &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { stop(); <-ended })
	deadline := time.After(time.Minute)
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return "http://" + address
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v: %s", program, err, stderr.String())
		case <-deadline:
			t.Fatalf("%s does not listen: %s", program, stderr.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestSnippetsInRealWebServers(t *testing.T) {
	h, _ := newHandler(t)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(t *testing.T, address string) (*http.Response, string) {
		t.Helper()
		resp, err := client.Get(address)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		require.NoError(t, err)
		return resp, string(body)
	}
	// What is in a query must come through byte for byte, plus signs above all.
	const asked = "?user-identifier=ada+work%40example.com&model-family=iPhone&x=%2B%20%26"
	for name, server := range webServers {
		t.Run(name+"/file", func(t *testing.T) {
			base := server.run(t, readSnippet(t, name+"-file.conf"))
			resp, body := get(t, base+discovery.Path+asked)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
			require.NoError(t, err)
			require.Equal(t, "application/json", kind)
			require.Equal(t, ask(h, strings.TrimPrefix(asked, "?")).Body.String(), body)
			resp, _ = get(t, base+"/.well-known/other")
			require.NotEqual(t, http.StatusOK, resp.StatusCode)
		})
		t.Run(name+"/redirect", func(t *testing.T) {
			base := server.run(t, readSnippet(t, name+"-redirect.conf"))
			resp, _ := get(t, base+discovery.Path+asked)
			require.Equal(t, http.StatusFound, resp.StatusCode)
			require.Equal(t, "https://mdm.example.com"+discovery.Path+asked, resp.Header.Get("Location"))
		})
	}
}
