package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// moment is when the process is killed.
type moment string

const (
	beforeRequest moment = "before the request"
	beforeAnswer  moment = "before the answer"
	// inBetween is anywhere between the two.
	inBetween moment = "in between"
)

// longest is more than most requests take.
const longest = 5 * time.Millisecond

// errKilled is what the phone sees of it: the connection is gone.
var errKilled = errors.New("connection reset by peer")

// crashing is the network between the phone and the process. It kills the
// process once, at a request, and lets it start again before the phone can
// try again.
type crashing struct {
	process *process
	next    http.RoundTripper
	seen    []string // requests, by what they are
	at      int      // which of them is hit, -1 for none
	when    moment
}

// RoundTrip implements http.RoundTripper. An answer that came whole is one
// that everything is committed for.
func (c *crashing) RoundTrip(r *http.Request) (*http.Response, error) {
	what, err := describe(r)
	if err != nil {
		return nil, err
	}
	hit := len(c.seen) == c.at
	c.seen = append(c.seen, what)
	if hit && c.when == beforeRequest {
		return nil, c.crash()
	}
	if hit && c.when == inBetween {
		return nil, c.crashDuring(r)
	}
	resp, err := c.next.RoundTrip(r)
	if err != nil || !hit {
		return resp, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return nil, errors.Join(err, resp.Body.Close(), c.crash())
}

// crashDuring kills the process at some time after the request is on its way.
func (c *crashing) crashDuring(r *http.Request) error {
	over := make(chan struct{})
	go func() {
		defer close(over)
		if resp, err := c.next.RoundTrip(r); err == nil {
			resp.Body.Close()
		}
	}()
	after := time.NewTimer(rand.N(longest))
	defer after.Stop()
	<-after.C
	err := c.crash()
	<-over
	return err
}

func (c *crashing) crash() error {
	c.process.kill()
	c.process.start()
	return errKilled
}

// describe names a request of the story.
func describe(r *http.Request) (string, error) {
	name := r.Method + " " + r.URL.Path
	if operation := r.URL.Query().Get("operation"); operation != "" {
		name += " " + operation
	}
	if r.Method != http.MethodPut {
		return name, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return "", err
	}
	message, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	for _, kind := range []string{"Authenticate", "TokenUpdate", "Idle", "Acknowledged"} {
		if bytes.Contains(message, []byte("<string>"+kind+"</string>")) {
			return name + " " + kind, nil
		}
	}
	return "", fmt.Errorf("a message that is not of the story: %s", message)
}

// owner is the phone with the person who holds it, when things go wrong.
type owner struct {
	t     *testing.T
	phone *mdmtest.Phone
}

// browse does something in Safari. When the page does not come, the person
// reloads, or presses the button of the form again.
func (o *owner) browse(do func(context.Context) (*mdmtest.Page, error)) (*mdmtest.Page, error) {
	o.t.Helper()
	page, err := do(o.t.Context())
	if !errors.Is(err, errKilled) {
		return page, err
	}
	if o.phone.Safari.Failed() != nil {
		return o.phone.Safari.Reload(o.t.Context())
	}
	return do(o.t.Context())
}

// signIn ends on the page with the profile. A page that refuses makes the
// person begin anew, once.
func (o *owner) signIn() {
	o.t.Helper()
	safari := o.phone.Safari
	try := func() error {
		_, err := o.browse(func(ctx context.Context) (*mdmtest.Page, error) { return safari.Open(ctx, crashBase+"/enroll") })
		require.NoError(o.t, err)
		_, err = o.browse(func(ctx context.Context) (*mdmtest.Page, error) { return safari.Follow(ctx, "/login") })
		require.NoError(o.t, err)
		_, err = o.browse(func(ctx context.Context) (*mdmtest.Page, error) {
			return safari.Submit(ctx, map[string]string{"username": "alice@example.com", "password": password})
		})
		return err
	}
	err := try()
	var refused *mdmtest.StatusError
	if errors.As(err, &refused) {
		require.Less(o.t, refused.Page.Status, 500, refused)
		err = try()
	}
	require.NoError(o.t, err)
	require.True(o.t, strings.HasSuffix(safari.Page().URL.Path, "/ready"), safari.Page().Text())
}

func (o *owner) download() {
	o.t.Helper()
	_, err := o.phone.Download(o.t.Context())
	if errors.Is(err, errKilled) {
		_, err = o.phone.Download(o.t.Context())
	}
	require.NoError(o.t, err)
}

// again does what iOS repeats by itself.
func (o *owner) again(do func(context.Context) error) {
	o.t.Helper()
	err := do(o.t.Context())
	if errors.Is(err, errKilled) {
		err = do(o.t.Context())
	}
	require.NoError(o.t, err)
}

// enroll goes the whole way.
func (o *owner) enroll() {
	o.t.Helper()
	o.signIn()
	o.download()
	identity := func(ctx context.Context) error {
		_, err := o.phone.ObtainIdentity(ctx)
		return err
	}
	o.again(identity)
	if err := o.phone.Authenticate(o.t.Context()); errors.Is(err, errKilled) {
		// Nothing stayed on the phone: the person begins anew where the page
		// still is.
		o.download()
		o.again(identity)
		require.NoError(o.t, o.phone.Authenticate(o.t.Context()))
	} else {
		require.NoError(o.t, err)
	}
	o.again(o.phone.TokenUpdate)
	o.again(func(ctx context.Context) error {
		_, err := o.phone.Connect(ctx)
		return err
	})
	require.Len(o.t, o.phone.Installed(), 1)
}

// stored is what /state tells.
type stored map[string][]map[string]any

// play lets a phone enroll, with the process killed at a request, and returns
// the requests and the state in the end.
func play(t *testing.T, keys string, at int, when moment) (requests []string, state stored) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.CopyFS(dir, os.DirFS(keys)))
	p := newProcess(t, dir)
	p.start()
	network := &crashing{process: p, next: p.transport(), at: at, when: when}
	phone, err := mdmtest.New(mdmtest.Config{Transport: network, Roots: p.roots()})
	require.NoError(t, err)
	(&owner{t, phone}).enroll()
	require.Greater(t, len(network.seen), at)
	state = p.state(1)
	require.Zero(t, p.stop())
	return network.seen, state
}

// clone is a copy that can be edited.
func (s stored) clone() stored {
	c := stored{}
	for table, rows := range s {
		c[table] = []map[string]any{}
		for _, row := range rows {
			c[table] = append(c[table], maps.Clone(row))
		}
	}
	return c
}

// first puts a copy of a table's first row in front of it, with these changes.
func (s stored) first(table string, changes map[string]any) {
	row := maps.Clone(s[table][0])
	maps.Copy(row, changes)
	s[table] = append([]map[string]any{row}, s[table]...)
}

// normal replaces what is random by its order of appearance, and times by
// nothing, so that two runs can be compared.
func (s stored) normal() stored {
	s = s.clone()
	names := map[any]string{}
	for _, table := range []string{"users", "tickets", "enrollments", "commands", "pushes"} {
		for _, row := range s[table] {
			for _, key := range []string{"id", "ref", "user", "enrollment_id", "ticket", "certificate_sha256", "command_uuid"} {
				value, ok := row[key]
				if !ok {
					continue
				}
				if _, known := names[value]; !known {
					names[value] = fmt.Sprintf("%s %s %d", table, key, len(names))
				}
				row[key] = names[value]
			}
			for _, key := range []string{"issued", "time"} {
				if _, ok := row[key]; ok {
					row[key] = "a time"
				}
			}
		}
	}
	return s
}

// keyFiles makes the keys of a data directory once, without the database.
func keyFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	p := newProcess(t, dir)
	p.start()
	require.Zero(t, p.stop())
	databases, err := filepath.Glob(filepath.Join(dir, "enrollkit.db*"))
	require.NoError(t, err)
	require.NotEmpty(t, databases)
	for _, file := range databases {
		require.NoError(t, os.Remove(file))
	}
	return dir
}

// TestCrash kills the server at every request of the story, before it is
// handled, after it was, and at some time in between, and compares what is stored
// in the end with an undisturbed run. What a lost answer leaves behind, and
// nothing else, is listed here.
func TestCrash(t *testing.T) {
	keys := keyFiles(t)
	story, undisturbed := play(t, keys, -1, "")
	require.Equal(t, []string{
		"GET /enroll", "GET /enroll/login", "GET /idp/authorize", "POST /idp/login", "GET /enroll/callback", "GET /enroll/ready",
		"GET /enroll/profile", "GET /scep GetCACert", "GET /scep GetCACaps", "POST /scep PKIOperation",
		"PUT /mdm/checkin Authenticate", "PUT /mdm/checkin TokenUpdate", "PUT /mdm/connect Idle", "PUT /mdm/connect Acknowledged",
	}, story)

	twice := func(want stored) { want["tickets"][0]["downloads"] = 2.0 }
	left := map[string]func(want stored){
		// The ticket whose page never came.
		"GET /enroll/callback before the answer": func(want stored) {
			want.first("tickets", map[string]any{"ref": "lost", "state": "superseded", "downloads": 0.0})
		},
		"GET /enroll/profile before the answer": twice,
		// The installation failed, and the phone begins anew.
		"PUT /mdm/checkin Authenticate before the request": twice,
		"PUT /mdm/checkin Authenticate before the answer": func(want stored) {
			twice(want)
			want.first("enrollments", map[string]any{"enrollment_id": "half", "certificate_sha256": "half made", "state": "replaced"})
		},
	}
	expected := func(request string, when moment) stored {
		want := undisturbed.clone()
		if differ := left[request+" "+string(when)]; differ != nil {
			differ(want)
		}
		return want.normal()
	}
	for at, request := range story {
		name := strings.ReplaceAll(request, "/", ".") // a slash would be a level of subtests
		for _, when := range []moment{beforeRequest, beforeAnswer} {
			t.Run(name+" "+string(when), func(t *testing.T) {
				t.Parallel()
				_, state := play(t, keys, at, when)
				require.Equal(t, expected(request, when), state.normal())
			})
		}
		for n := range 2 {
			t.Run(fmt.Sprintf("%s %s %d", name, inBetween, n), func(t *testing.T) {
				t.Parallel()
				_, state := play(t, keys, at, inBetween)
				require.Contains(t, []stored{expected(request, beforeRequest), expected(request, beforeAnswer)}, state.normal(),
					"what is left is neither that of a request that was not handled nor that of one that was")
			})
		}
	}
}

// TestKilledWhileStarting kills the program ever later in its first start. The
// next start finds everything whole, or makes it.
func TestKilledWhileStarting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := newProcess(t, dir)
	for after := 10 * time.Millisecond; after < 2*time.Second; after = after * 3 / 2 {
		stdout := p.launch()
		listens := make(chan error, 1)
		go func() {
			_, err := bufio.NewReader(stdout).ReadByte()
			listens <- err
		}()
		select {
		case err := <-listens:
			require.NoError(t, err, "the program does not start after it was killed: %s", p.log)
		case <-time.After(after):
		}
		p.kill()
	}
	p.start()
	phone, err := mdmtest.New(mdmtest.Config{Transport: p.transport(), Roots: p.roots()})
	require.NoError(t, err)
	(&owner{t, phone}).enroll()
	require.Zero(t, p.stop())
}
