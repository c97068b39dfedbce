package mdmtest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

func TestWebSessionEnds(t *testing.T) {
	a := newAccounts(t)
	redirect := func(status int) func(http.ResponseWriter, string) {
		return func(w http.ResponseWriter, to string) {
			w.Header().Set("Location", to)
			w.WriteHeader(status)
		}
	}
	for name, c := range map[string]struct {
		login func(http.ResponseWriter, string)
		only  []int // statuses that are accepted
		want  error
	}{
		"301":                   {redirect(301), nil, nil},
		"302":                   {redirect(302), nil, nil},
		"307":                   {redirect(307), nil, nil},
		"303 where 308 must be": {redirect(303), []int{308}, mdmtest.ErrHandBack},
		"308 where 308 must be": {redirect(308), []int{303, 308}, nil},
		"by a link": {func(w http.ResponseWriter, to string) {
			fmt.Fprintf(w, `<a href="/help">Help</a><a href="%s">Go on</a>`, to)
		}, nil, nil},
		"by a link, not allowed": {func(w http.ResponseWriter, to string) { fmt.Fprintf(w, `<a href="%s">Go on</a>`, to) }, []int{308}, mdmtest.ErrHandBack},
		"on a page":              {func(w http.ResponseWriter, _ string) { fmt.Fprint(w, "<p>Signed in") }, nil, mdmtest.ErrHandBack},
		"without a token":        {func(w http.ResponseWriter, _ string) { redirect(308)(w, hostPart) }, nil, mdmtest.ErrHandBack},
		"with an empty token":    {func(w http.ResponseWriter, _ string) { redirect(308)(w, hostPart+"?access-token=") }, nil, mdmtest.ErrHandBack},
		"with a broken token":    {func(w http.ResponseWriter, _ string) { redirect(308)(w, hostPart+"?access-token=%zz") }, nil, mdmtest.ErrHandBack},
	} {
		t.Run(name, func(t *testing.T) {
			a.login, a.config.Account.HandBack = c.login, c.only
			_, account := a.challenged()
			require.ErrorIs(t, account.SignIn(t.Context(), "ada", "password"), c.want)
			require.Equal(t, c.want == nil, account.Tokens.Access != "")
		})
	}
	a.config.Account.HandBack = nil
	t.Run("the first of two tokens, as it came", func(t *testing.T) {
		a.login = func(w http.ResponseWriter, _ string) {
			redirect(308)(w, hostPart+"?x=1&access-token=a+b%2Bc%3D&access-token=z")
		}
		_, account := a.challenged()
		require.NoError(t, account.SignIn(t.Context(), "ada", "password"))
		require.Equal(t, "a+b+c=", account.Tokens.Access)
	})
	t.Run("refused by the provider", func(t *testing.T) {
		_, account := a.challenged()
		var page *mdmtest.StatusError
		require.ErrorAs(t, account.SignIn(t.Context(), "ada", "wrong"), &page)
		require.Equal(t, http.StatusForbidden, page.Page.Status)
		require.False(t, account.SessionEnded())
		require.Error(t, account.HandBack(t.Context()))
	})
	t.Run("at once", func(t *testing.T) {
		a.replace["/session/1"] = func(w http.ResponseWriter, _ *http.Request) { redirect(308)(w, hostPart+"?access-token=known") }
		defer delete(a.replace, "/session/1")
		_, account := a.challenged()
		_, err := account.OpenSession(t.Context())
		require.NoError(t, err)
		require.True(t, account.SessionEnded())
		require.NoError(t, account.HandBack(t.Context()))
		require.Equal(t, "known", account.Tokens.Access)
	})
	t.Run("in Safari it goes nowhere", func(t *testing.T) {
		a.replace["/session/1"] = func(w http.ResponseWriter, _ *http.Request) { redirect(308)(w, hostPart+"?access-token=known") }
		defer delete(a.replace, "/session/1")
		_, err := a.phone().Safari.Open(t.Context(), a.server.URL+"/session/1")
		require.ErrorContains(t, err, "unsupported protocol scheme")
	})
}

func TestAuthorizationResponses(t *testing.T) {
	a := newAccounts(t)
	a.method = mdmtest.MethodOAuth2
	for name, c := range map[string]struct {
		edit func(to string) string
		want error
	}{
		"as it is":      {func(to string) string { return to }, nil},
		"another state": {func(to string) string { return strings.Replace(to, "state=", "state=x", 1) }, mdmtest.ErrHandBack},
		"no state":      {func(to string) string { return strings.Replace(to, "state=", "status=", 1) }, mdmtest.ErrHandBack},
		"no code":       {func(to string) string { return strings.Replace(to, "code=", "code2=", 1) }, mdmtest.ErrHandBack},
		"an error":      {func(to string) string { return to + "&error=access_denied" }, mdmtest.ErrHandBack},
	} {
		t.Run(name, func(t *testing.T) {
			a.login = func(w http.ResponseWriter, to string) {
				w.Header().Set("Location", c.edit(to))
				w.WriteHeader(http.StatusPermanentRedirect)
			}
			_, account := a.challenged()
			require.ErrorIs(t, account.SignIn(t.Context(), "ada", "password"), c.want)
			require.Equal(t, c.want == nil, account.RequestToken(t.Context()) == nil)
		})
	}
}

// Web sessions have Safari's cookies, or a browser of their own.
func TestWebSessionCookies(t *testing.T) {
	for private, want := range map[bool]string{false: "portal=1", true: ""} {
		a := newAccounts(t)
		a.config.Account.PrivateSession = private
		p, account := a.challenged()
		a.replace["/portal"] = func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "portal", Value: "1", Path: "/", Secure: true})
		}
		_, err := p.Safari.Open(t.Context(), a.server.URL+"/portal")
		require.NoError(t, err)
		require.NoError(t, account.SignIn(t.Context(), "ada", "password"))
		require.Equal(t, want, a.find("/session/1", 0).header.Get("Cookie"))
		require.Equal(t, "/portal", p.Safari.Page().URL.Path, "Safari stays where it is")
		require.Equal(t, "none", a.find("/session/1", 0).header.Get("Sec-Fetch-Site"))
	}
}
