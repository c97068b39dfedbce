package ssotest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever is asked and typed, the browser is sent nowhere but to the registered
// address, and a code is given for the right password only.
func FuzzSignIn(f *testing.F) {
	f.Add(query().Encode(), "alice@example.com", "password")
	f.Add(query().Encode(), "alice@example.com", "Password")
	for _, change := range [][2]string{{"redirect_uri", "https://evil.example"}, {"response_type", "token"}, {"client_id", ""}, {"scope", ""}, {"code_challenge", "x"}, {"state", "\r\nX: y"}} {
		q := query()
		q.Set(change[0], change[1])
		f.Add(q.Encode(), "alice@example.com", "password")
	}
	f.Add("%zz;", "", "")
	f.Fuzz(func(t *testing.T, raw, username, password string) {
		p := open(t)
		target, err := url.Parse(redirect)
		require.NoError(t, err)
		form := url.Values{"request": {raw}, "username": {username}, "password": {password}}
		posted := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login", strings.NewReader(form.Encode()))
		posted.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		asked := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/authorize", nil)
		asked.URL.RawQuery = raw
		for _, r := range []*http.Request{asked, posted} {
			w := httptest.NewRecorder()
			p.ServeHTTP(w, r)
			switch w.Code {
			case http.StatusOK, http.StatusUnauthorized:
				require.NotContains(t, w.Body.String(), "<script")
				require.Empty(t, w.Header().Get("Location"))
			case http.StatusSeeOther:
				u, err := url.Parse(w.Header().Get("Location"))
				require.NoError(t, err)
				require.Equal(t, target.Host, u.Host)
				require.Equal(t, target.Path, u.Path)
				if u.Query().Get("code") != "" {
					require.Equal(t, "password", password)
					require.True(t, strings.EqualFold("alice@example.com", strings.TrimSpace(username)))
					require.Empty(t, u.Query().Get("error"))
				}
			case http.StatusBadRequest:
				require.Empty(t, w.Header().Get("Location"))
			default:
				t.Fatalf("status %d", w.Code)
			}
		}
	})
}
