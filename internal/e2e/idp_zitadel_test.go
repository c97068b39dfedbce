package e2e

import (
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	zitadel "github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/storage/memory"
)

const idpCallback = "https://mdm.example.com/enroll/callback"

// person is a browser with somebody in front of it, who knows nothing of the
// provider but its pages.
type person struct {
	t      *testing.T
	client *http.Client
}

func newPerson(t *testing.T, transport http.RoundTripper) person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return person{t, &http.Client{Transport: transport, Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "mdm.example.com" {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// send asks for a page and returns it, or where the provider sent the browser.
func (p person) send(method, address string, form url.Values) (page string, at, back *url.URL) {
	p.t.Helper()
	var resp *http.Response
	var err error
	if method == http.MethodPost {
		resp, err = p.client.PostForm(address, form)
	} else {
		resp, err = p.client.Get(address)
	}
	require.NoError(p.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	require.NoError(p.t, err)
	if location := resp.Header.Get("Location"); location != "" {
		back, err = url.Parse(location)
		require.NoError(p.t, err)
		return "", nil, back
	}
	return string(body), resp.Request.URL, nil
}

var (
	formAction = regexp.MustCompile(`<form[^>]*action="([^"]*)"`)
	formInput  = regexp.MustCompile(`<input[^>]*>`)
	inputName  = regexp.MustCompile(`name="([^"]*)"`)
	inputValue = regexp.MustCompile(`value="([^"]*)"`)
)

// fill reads the form of a page and types into it.
func (p person) fill(page string, at *url.URL, typed map[string]string) (address string, form url.Values) {
	p.t.Helper()
	action := formAction.FindStringSubmatch(page)
	require.NotNil(p.t, action, "a page with a form: %s", page)
	target, err := at.Parse(html.UnescapeString(action[1]))
	require.NoError(p.t, err)
	form = url.Values{}
	for _, tag := range formInput.FindAllString(page, -1) {
		name, value := inputName.FindStringSubmatch(tag), inputValue.FindStringSubmatch(tag)
		if name == nil {
			continue
		}
		form.Set(name[1], "")
		if value != nil {
			form.Set(name[1], html.UnescapeString(value[1]))
		}
	}
	for name, value := range typed {
		require.Contains(p.t, form, name)
		form.Set(name, value)
	}
	return target.String(), form
}

// TestZitadel signs in at an OpenID provider that shares no code with ours: the
// one of github.com/zitadel/oidc, with its own storage and login page.
func TestZitadel(t *testing.T) {
	logger := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // it logs every request there
	t.Cleanup(func() { slog.SetDefault(logger) })
	var handler http.Handler
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	users := zitadel.NewUserStore(server.URL)
	handler = exampleop.SetupServer(server.URL, zitadel.NewStorageWithClients(users, map[string]*zitadel.Client{
		"enrollkit": zitadel.WebClient("enrollkit", "secret", idpCallback),
	}), nil, false)

	config := oidc.Config{Issuer: server.URL, ClientID: "enrollkit", ClientSecret: "secret", HTTPClient: server.Client()}
	provider, err := oidc.New(config)
	require.NoError(t, err)
	require.NoError(t, provider.Ready(t.Context()))
	request := sso.Request{RedirectURL: idpCallback, LoginHint: "test-user@127.0.0.1"}

	attempt := func() (sso.Attempt, url.Values) {
		t.Helper()
		a, err := provider.Begin(t.Context(), request)
		require.NoError(t, err)
		p := newPerson(t, server.Client().Transport)
		page, at, _ := p.send(http.MethodGet, a.URL, nil)
		address, form := p.fill(page, at, map[string]string{"username": "test-user@127.0.0.1", "password": "wrong"})
		page, at, back := p.send(http.MethodPost, address, form)
		require.Nil(t, back, "a wrong password shows the form again")
		address, form = p.fill(page, at, map[string]string{"username": "test-user@127.0.0.1", "password": "verysecure"})
		_, _, back = p.send(http.MethodPost, address, form)
		require.NotNil(t, back)
		require.Equal(t, "mdm.example.com", back.Host)
		return a, back.Query()
	}

	t.Run("sign in", func(t *testing.T) {
		a, query := attempt()
		key, err := provider.State(a.Secret, query)
		require.NoError(t, err)
		require.Equal(t, a.Key, key)
		id, err := provider.Finish(t.Context(), request, a.Secret, query)
		require.NoError(t, err)
		require.Equal(t, server.URL, id.Issuer)
		require.Equal(t, "id1", id.Subject)
		require.Equal(t, jit.GroupsAbsent, id.GroupState)
		require.False(t, id.AuthTime.IsZero())

		people, err := jit.New(jit.Config{Store: memory.New(), ManagedAppleAccount: "{sub}@appleid.example.com"})
		require.NoError(t, err)
		u, created, err := people.SignIn(t.Context(), id)
		require.NoError(t, err)
		require.True(t, created)
		require.Equal(t, "id1@appleid.example.com", u.ManagedAppleAccount)

		_, err = provider.Finish(t.Context(), request, a.Secret, query)
		require.ErrorIs(t, err, sso.ErrCallback, "the code is replayed")
	})

	t.Run("code of another attempt", func(t *testing.T) {
		a, _ := attempt()
		b, stolen := attempt()
		query := url.Values{"state": {queryOf(t, a.URL).Get("state")}, "code": {stolen.Get("code")}}
		_, err := provider.Finish(t.Context(), request, a.Secret, query)
		require.ErrorIs(t, err, sso.ErrCallback, "the verifier is another one's")
		_, err = provider.Finish(t.Context(), request, a.Secret, stolen)
		require.ErrorIs(t, err, sso.ErrCallback, "so is the state")
		require.NotEqual(t, a.Key, b.Key)
	})

	t.Run("required group", func(t *testing.T) {
		strict := config
		strict.RequiredGroups = []string{"byod"}
		needy, err := oidc.New(strict)
		require.NoError(t, err)
		a, query := attempt()
		_, err = needy.Finish(t.Context(), request, a.Secret, query)
		var denied *sso.DeniedError
		require.True(t, errors.As(err, &denied), err)
		require.Equal(t, sso.ReasonGroupsAbsent, denied.Reason)
	})

	t.Run("wrong client secret", func(t *testing.T) {
		wrong := config
		wrong.ClientSecret = "wrong"
		misconfigured, err := oidc.New(wrong)
		require.NoError(t, err)
		a, query := attempt()
		_, err = misconfigured.Finish(t.Context(), request, a.Secret, query)
		require.ErrorIs(t, err, sso.ErrUnavailable, "not the person's fault")
	})
}

func queryOf(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Query()
}
