package ssotest_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/sso/ssotest"
)

func open(t testing.TB) *ssotest.Provider {
	t.Helper()
	p, err := ssotest.Open(ssotest.Config{
		Issuer: "https://idp.example.com", Users: []ssotest.User{{Username: "alice@example.com", Password: "password"}},
		Clients: []ssotest.Client{{ID: "enrollkit", Secret: "secret", RedirectURIs: []string{redirect}}},
	})
	require.NoError(t, err)
	return p
}

func TestInProcess(t *testing.T) {
	b := browser{t, open(t)}
	status, answer := b.redeem(redemption(b.code()))
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "alice@example.com", b.claims(answer["id_token"].(string))["sub"])
	status, _, _ = b.do(http.MethodGet, "https://idp.example.com/nothing", nil)
	require.Equal(t, http.StatusNotFound, status)
	status, header, _ := b.do(http.MethodDelete, "https://idp.example.com/jwks", nil)
	require.Equal(t, http.StatusMethodNotAllowed, status)
	require.NotEmpty(t, header.Get("Allow"))
}

// A slow answer is ended by the client's patience, and a bubble of synctest ends
// only when nothing is left running.
func TestInProcessEndsWithItsClient(t *testing.T) {
	for _, fault := range []ssotest.Fault{ssotest.SlowKeys, ssotest.SlowDiscovery} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t)
				p.Break(fault)
				client := p.HTTPClient()
				client.Timeout = time.Minute
				began := time.Now()
				for _, path := range []string{"/jwks", "/.well-known/openid-configuration"} {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Issuer()+path, nil)
					require.NoError(t, err)
					if resp, err := client.Do(req); err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						require.NoError(t, err)
						require.NoError(t, resp.Body.Close())
					}
				}
				require.Equal(t, time.Minute, time.Since(began))
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := open(t)
		p.Break(ssotest.GiantKeys)
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Issuer()+"/jwks", nil)
		require.NoError(t, err)
		resp, err := p.HTTPClient().Do(req)
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 1<<20))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close(), "the rest of the gigabyte is not made")
		cancel()
	})
}
