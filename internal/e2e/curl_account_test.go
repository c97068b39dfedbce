package e2e

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// ask makes one request, without following redirects.
func (c *curl) ask(t *testing.T, args ...string) (*http.Response, []byte) {
	t.Helper()
	head, body := filepath.Join(c.dir, "head"), filepath.Join(c.dir, "body")
	args = append(append(append([]string(nil), c.args...), "--no-location", "--http1.1", "--dump-header", head, "--output", body), args...)
	out, err := exec.CommandContext(t.Context(), c.path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	raw, err := os.ReadFile(head)
	require.NoError(t, err)
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	require.NoError(t, err, "%s", raw)
	content, err := os.ReadFile(body)
	if !os.IsNotExist(err) { // curl makes no file for an empty body
		require.NoError(t, err)
		require.NoError(t, os.Remove(body))
	}
	return r, content
}

// follow goes along redirects until a page, or an address that is not https.
func (c *curl) follow(t *testing.T, args ...string) document {
	t.Helper()
	at, err := url.Parse(args[len(args)-1])
	require.NoError(t, err)
	for range 20 {
		r, body := c.ask(t, args...)
		to := r.Header.Get("Location")
		if to == "" {
			page, err := html.Parse(bytes.NewReader(body))
			require.NoError(t, err)
			return document{url: at, status: r.Status, kind: r.Header.Get("Content-Type"), body: body, doc: page}
		}
		at, err = at.Parse(to)
		require.NoError(t, err)
		if at.Scheme != "https" {
			return document{url: at, status: r.Status}
		}
		args = []string{at.String()}
	}
	require.Fail(t, "too many redirects")
	return document{}
}

// machineInformation is the body of an enrollment POST, in a file: signed by
// openssl, with a leaf that openssl issued under the device CA.
func (q *quickstart) machineInformation(t *testing.T) string {
	t.Helper()
	openssl, dir := need(t, "openssl"), t.TempDir()
	run := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), openssl, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", args, out)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "machine.plist"), []byte(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>PRODUCT</key><string>iPhone17,2</string><key>VERSION</key><string>22G86</string>
<key>LANGUAGE</key><string>en</string></dict></plist>`), 0o600))
	run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "leaf.key", "-subj", "/CN=curl", "-out", "leaf.csr")
	run("x509", "-req", "-in", "leaf.csr", "-CA", q.DeviceCA+".pem", "-CAkey", q.DeviceCA+".key", "-set_serial", "77", "-days", "1", "-out", "leaf.pem")
	run("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", "machine.plist", "-signer", "leaf.pem", "-inkey", "leaf.key",
		"-certfile", q.DeviceCA+".pem", "-out", "machine.p7")
	return filepath.Join(dir, "machine.p7")
}

// TestAccountByCurl goes from discovery to the profile with curl and openssl.
func TestAccountByCurl(t *testing.T) {
	q := startQuickstart(t, "-way", "account")
	c := newCurl(t, q, "--user-agent", safari)

	r, body := c.ask(t, q.Base.String()+".well-known/com.apple.remotemanagement?user-identifier=alice%40example.com&model-family=iPhone")
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, "application/json", r.Header.Get("Content-Type"))
	enroll := q.Portal.String() + "/account/byod"
	require.JSONEq(t, `{"Servers":[{"Version":"mdm-byod","BaseURL":"`+enroll+`"}]}`, string(body))

	before := q.state(t)
	post := []string{"--header", "Content-Type: application/pkcs7-signature", "--data-binary", "@" + q.machineInformation(t), enroll}
	r, body = c.ask(t, post...)
	require.Equal(t, http.StatusUnauthorized, r.StatusCode)
	require.Empty(t, body)
	challenge := regexp.MustCompile(`^Bearer method="apple-as-web", url="(https://[^"?]+)"$`).FindStringSubmatch(r.Header.Get("WWW-Authenticate"))
	require.NotNil(t, challenge, r.Header)
	require.Equal(t, before, q.state(t), "a challenge is free")

	page := c.follow(t, challenge[1]+"?user-identifier=alice%40example.com")
	form := page.form(t, "password")
	end := c.follow(t, page.filled(t, form, map[string]string{"password": "password"})...)
	require.Equal(t, "308 Permanent Redirect", end.status)
	require.Equal(t, "apple-remotemanagement-user-login://authentication-results", strings.SplitN(end.url.String(), "?", 2)[0])
	token := end.url.Query().Get("access-token")
	require.NotEmpty(t, token)

	// Only Settings can do something with the address; whoever opens the
	// session again has to sign in again, and gets no second token.
	again := c.follow(t, challenge[1]+"?user-identifier=alice%40example.com")
	used := c.follow(t, again.filled(t, again.form(t, "password"), map[string]string{"password": "password"})...)
	require.Equal(t, "https", used.url.Scheme)
	require.True(t, strings.HasPrefix(used.status, "4"), used.status)

	r, signed := c.ask(t, append([]string{"--header", "Authorization: Bearer " + token}, post...)...)
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, "application/x-apple-aspen-config", r.Header.Get("Content-Type"))
	file, plain := filepath.Join(c.dir, "enroll.mobileconfig"), filepath.Join(c.dir, "plain.plist")
	require.NoError(t, os.WriteFile(file, signed, 0o600))
	out, err := exec.CommandContext(t.Context(), need(t, "openssl"), "cms", "-verify", "-inform", "DER", "-in", file, "-CAfile", q.CA, "-out", plain).CombinedOutput()
	require.NoError(t, err, "%s", out)
	wellFormed(t, plain)
	content, err := os.ReadFile(plain)
	require.NoError(t, err)
	require.Contains(t, string(content), "<key>EnrollmentMode</key>")
	require.Regexp(t, `<key>AssignedManagedAppleID</key>\s*<string>alice@example.com</string>`, string(content))
	for _, no := range []string{"<key>AccessRights</key>", "<key>ManagedAppleID</key>", token} {
		require.NotContains(t, string(content), no)
	}
	after := q.state(t)
	require.Len(t, after.Tickets, len(before.Tickets)+1)
	require.Equal(t, "downloaded", after.Tickets[len(before.Tickets)].State)
}
