package mdmtest_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

const wellKnown = "/.well-known/com.apple.remotemanagement"

// typed answers with a type and a body.
func typed(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestDiscoveryIsStrict(t *testing.T) {
	const (
		json = "application/json"
		good = `{"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.corp.example/enroll/t1"}]}`
	)
	a := newAccounts(t)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		ok     bool
		code   string
	}{
		"as it is":            {typed(200, json, good), true, ""},
		"with a charset":      {typed(200, json+"; charset=utf-8", good), true, ""},
		"two servers":         {typed(200, json, `{"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.corp.example/enroll/t1"},{"Version":"mdm-adde","BaseURL":"https://x.example"}]}`), true, ""},
		"created":             {typed(201, json, good), false, ""},
		"no content":          {typed(204, json, ""), false, ""},
		"as text":             {typed(200, "text/plain", good), false, ""},
		"as Apple's own type": {typed(200, "application/x-apple-aspen-config", good), false, ""},
		"as JSON of a kind":   {typed(200, "application/ld+json", good), false, ""},
		"no JSON":             {typed(200, json, "<html>"), false, ""},
		"no servers":          {typed(200, json, `{"Servers":[]}`), false, ""},
		"no version":          {typed(200, json, `{"Servers":[{"BaseURL":"https://x.example"}]}`), false, ""},
		"no address":          {typed(200, json, `{"Servers":[{"Version":"mdm-byod"}]}`), false, ""},
		"an address in plain": {typed(200, json, `{"Servers":[{"Version":"mdm-byod","BaseURL":"http://x.example"}]}`), false, ""},
		"another version":     {typed(200, json, `{"Servers":[{"Version":"mdm-2","BaseURL":"https://x.example"}]}`), false, ""},
		"refused":             {typed(403, json, `{"code":"com.apple.well-known.failed","message":"Use your work address."}`), false, "com.apple.well-known.failed"},
		"refused, typed more": {typed(403, json+"; charset=utf-8", `{"code":"com.apple.well-known.failed"}`), false, ""},
		"not found":           {typed(404, "text/html", "<html>"), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a.replace[wellKnown] = c.answer
			account, err := a.phone().Discover(t.Context(), identifier)
			if c.ok {
				require.NoError(t, err)
				require.Equal(t, mdmtest.Server{Version: "mdm-byod", BaseURL: "https://mdm.corp.example/enroll/t1"}, account.Server, "the first one")
				return
			}
			require.ErrorIs(t, err, mdmtest.ErrRefused)
			require.Nil(t, account)
			var refused *mdmtest.RefusedError
			if c.code != "" {
				require.True(t, errors.As(err, &refused))
				require.Equal(t, mdmtest.RefusedError{Step: "discovery", Status: 403, Code: c.code, Message: "Use your work address."}, *refused)
			} else if errors.As(err, &refused) {
				require.Empty(t, refused.Code)
			}
		})
	}
}

func TestDiscoveryOfOtherVersionsOfIOS(t *testing.T) {
	a := newAccounts(t)
	discover := func(version string) error {
		a.config.OSVersion = version
		_, err := a.phone().Discover(t.Context(), identifier)
		return err
	}
	require.ErrorContains(t, discover("14.8"), "no sign-in")
	require.NoError(t, discover("15.0"))
	a.version = "mdm-adde"
	require.ErrorIs(t, discover("16.7"), mdmtest.ErrRefused)
	require.NoError(t, discover("17.0"))
	a.version, a.method = "mdm-byod", mdmtest.MethodOAuth2
	a.config.OSVersion = "15.6"
	account, err := a.phone().Discover(t.Context(), identifier)
	require.NoError(t, err)
	_, err = account.RequestChallenge(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrChallenge)
	a.config.OSVersion = "17.4" // before Apple's error document
	a.replace[wellKnown] = typed(403, "application/json", `{"code":"com.apple.well-known.failed","message":"m"}`)
	_, err = a.phone().Discover(t.Context(), identifier)
	var refused *mdmtest.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Empty(t, refused.Code)
}

func TestIdentifiers(t *testing.T) {
	a := newAccounts(t)
	for _, text := range []string{"", "ada", "@corp.example", "ada@", "a@b@corp.example", "ada@localhost"} {
		_, err := a.phone().Discover(t.Context(), text)
		require.ErrorIs(t, err, mdmtest.ErrIdentifier, text)
	}
	require.Empty(t, a.asked)
	a.config.Account.Device = nil
	_, err := a.phone().Discover(t.Context(), identifier)
	require.ErrorContains(t, err, "Device is missing")
}

// The device follows a redirect, whose author must have copied the query.
func TestDiscoveryFollowsRedirects(t *testing.T) {
	a := newAccounts(t)
	a.replace[wellKnown] = func(w http.ResponseWriter, r *http.Request) {
		delete(a.replace, wellKnown)
		http.Redirect(w, r, wellKnown, http.StatusFound)
	}
	_, err := a.phone().Discover(t.Context(), identifier)
	require.NoError(t, err)
	require.NotEmpty(t, a.find(wellKnown, 0).query)
	require.Empty(t, a.find(wellKnown, 1).query, "the device adds nothing")
}

// From iOS 18.2 on any failure at the domain leads on, and the last one is told.
func TestDiscoveryFallsBack(t *testing.T) {
	a := newAccounts(t)
	a.replace[wellKnown] = typed(403, "application/json", `{"code":"com.apple.well-known.failed","message":"the domain's"}`)
	a.replace["/first"] = typed(404, "text/plain", "")
	a.replace["/second"] = typed(200, "application/json", `{"Servers":[{"Version":"mdm-byod","BaseURL":"https://fallback.example/t1"}]}`)
	a.config.Account.Fallback = []string{a.server.URL + "/first", a.server.URL + "/second"}
	a.config.OSVersion = "18.2"
	account, err := a.phone().Discover(t.Context(), identifier)
	require.NoError(t, err)
	require.Equal(t, "https://fallback.example/t1", account.Server.BaseURL)
	for _, path := range []string{wellKnown, "/first", "/second"} {
		require.Equal(t, "user-identifier=ada+work%40corp.example&model-family=iPhone", a.find(path, 0).query)
	}
	var refused *mdmtest.RefusedError
	a.replace["/second"] = typed(403, "application/json", `{"code":"com.apple.well-known.failed","message":"the last one's"}`)
	_, err = a.phone().Discover(t.Context(), identifier)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "the last one's", refused.Message)

	a.config.OSVersion = "18.1"
	_, err = a.phone().Discover(t.Context(), identifier)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "the domain's", refused.Message)
}
