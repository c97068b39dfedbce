package oidc_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

// attempt begins a sign-in and lets alice sign in at the provider.
func (w *world) attempt() (sso.Attempt, url.Values) {
	w.t.Helper()
	a, err := w.rp.Begin(w.t.Context(), request())
	require.NoError(w.t, err)
	back, err := w.idp.SignIn(a.URL, alice, "password")
	require.NoError(w.t, err)
	return a, back.Query()
}

// with is query with one parameter replaced.
func with(query url.Values, name string, values ...string) url.Values {
	q := url.Values{}
	for n, v := range query {
		q[n] = v
	}
	q[name] = values
	return q
}

// answer is what a browser brings back, and the secret that it has.
type answer struct {
	secret []byte
	query  url.Values
}

func (w *world) refusesEach(cases map[string]answer) {
	w.t.Helper()
	for name, c := range cases {
		w.t.Run(name, func(t *testing.T) {
			id, err := w.rp.Finish(t.Context(), request(), c.secret, c.query)
			require.ErrorIs(t, err, sso.ErrCallback)
			require.Zero(t, id)
		})
	}
}

func TestHostile17CallbackOfAnotherBrowser(t *testing.T) {
	w := newWorld(t, nil)
	a, query := w.attempt()
	b, _ := w.attempt()
	other := w.party(oidc.Config{ClientID: "another", ClientSecret: "secret"}, nil)
	foreign, err := other.Begin(t.Context(), request())
	require.NoError(t, err)
	spent := w.idp.Requests("token")
	w.refusesEach(map[string]answer{
		"another browser": {b.Secret, query},
		"another client":  {foreign.Secret, query},
		"no secret":       {nil, query},
		"short secret":    {a.Secret[:50], query},
		"long secret":     {append(bytes.Clone(a.Secret), 0), query},
		"another version": {append([]byte{9}, a.Secret[1:]...), query},
		"no state":        {a.Secret, with(query, "state")},
		"other state":     {a.Secret, with(query, "state", "x")},
		"two states":      {a.Secret, with(query, "state", query.Get("state"), query.Get("state"))},
	})
	require.Equal(t, spent, w.idp.Requests("token"), "the code was not sent")
	for _, c := range []answer{{b.Secret, query}, {a.Secret, with(query, "state")}} {
		_, err := w.rp.State(c.secret, c.query)
		require.ErrorIs(t, err, sso.ErrCallback)
	}
	_, err = w.rp.Finish(t.Context(), request(), a.Secret, query)
	require.NoError(t, err, "the right browser still gets in")
	_, err = w.rp.Finish(t.Context(), request(), a.Secret, query)
	require.ErrorIs(t, err, sso.ErrCallback, "replayed code")
}

// PKCE: a code that was stolen is of no use without the verifier.
func TestCodeOfAnotherAttempt(t *testing.T) {
	w := newWorld(t, nil)
	a, query := w.attempt()
	b, _ := w.attempt()
	mixed := bytes.Clone(a.Secret) // a's state, b's verifier
	copy(mixed[81:], b.Secret[81:])
	_, err := w.rp.Finish(t.Context(), request(), mixed, query)
	require.ErrorIs(t, err, sso.ErrCallback)
	require.Equal(t, 1, w.idp.Requests("token"), "the provider refused the verifier")
	_, err = w.rp.Finish(t.Context(), request(), a.Secret, query)
	require.ErrorIs(t, err, sso.ErrCallback, "the wrong verifier has spent the code")
}

// A provider that refuses a code in words of its own refuses the code, not us.
func TestCodeIsRefusedInOtherWords(t *testing.T) {
	w := newWorld(t, nil)
	w.idp.Break(ssotest.OddRefusal)
	a, query := w.attempt()
	_, err := w.rp.Finish(t.Context(), request(), a.Secret, query)
	require.NoError(t, err)
	_, err = w.rp.Finish(t.Context(), request(), a.Secret, query)
	require.ErrorIs(t, err, sso.ErrCallback)
	require.NotErrorIs(t, err, sso.ErrUnavailable)
}

// Whoever comes first with a code gets in, and nobody else.
func TestHostile18ParallelCallbacks(t *testing.T) {
	w := inProcess(t, nil)
	a, query := w.attempt()
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			switch _, err := w.rp.Finish(t.Context(), request(), a.Secret, query); {
			case err == nil:
				in.Add(1)
			case !errors.Is(err, sso.ErrCallback):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, in.Load())
}

func TestHostile19ProviderRefuses(t *testing.T) {
	w := inProcess(t, nil)
	a, query := w.attempt()
	for code, c := range map[string]struct {
		reason sso.Reason
		err    error
	}{
		"access_denied":                     {sso.ReasonDenied, nil},
		"consent_required":                  {sso.ReasonDenied, nil},
		"interaction_required":              {sso.ReasonDenied, nil},
		"login_required":                    {sso.ReasonDenied, nil},
		"unmet_authentication_requirements": {sso.ReasonMFA, nil},
		"temporarily_unavailable":           {"", sso.ErrUnavailable},
		"server_error":                      {"", sso.ErrUnavailable},
		"invalid_request":                   {"", sso.ErrCallback},
		"":                                  {"", sso.ErrCallback},
		"<script>alert(1)</script>":         {"", sso.ErrCallback},
	} {
		t.Run(code, func(t *testing.T) {
			q := with(with(query, "error", code), "error_description", "<script>alert(2)</script>")
			id, err := w.rp.Finish(t.Context(), request(), a.Secret, q)
			require.Zero(t, id)
			require.NotContains(t, err.Error(), "alert(2)")
			if c.reason != "" {
				requireDenied(t, c.reason, err)
				return
			}
			require.ErrorIs(t, err, c.err)
		})
	}
	require.Zero(t, w.idp.Requests("token"), "a code beside an error is not sent")
	w.idp.Break(ssotest.AccessDenied)
	_, err := w.signIn()
	requireDenied(t, sso.ReasonDenied, err)
	require.NotContains(t, err.Error(), "script")
}

func TestHostile20Parameters(t *testing.T) {
	w := inProcess(t, nil)
	a, query := w.attempt()
	w.refusesEach(map[string]answer{
		"two codes":            {a.Secret, with(query, "code", query.Get("code"), "b")},
		"no code":              {a.Secret, with(query, "code")},
		"forged code":          {a.Secret, with(query, "code", "x")},
		"code of a megabyte":   {a.Secret, with(query, "code", strings.Repeat("x", 1<<20))},
		"state of a megabyte":  {a.Secret, with(query, "state", strings.Repeat("x", 1<<20))},
		"issuer of a megabyte": {a.Secret, with(query, "iss", strings.Repeat("x", 1<<20))},
		"error of a megabyte":  {a.Secret, with(query, "error", strings.Repeat("x", 1<<20))},
	})
}

func TestHostile25MixUp(t *testing.T) {
	w := newWorld(t, nil)
	a, query := w.attempt()
	w.refusesEach(map[string]answer{
		"another issuer":      {a.Secret, with(query, "iss", "https://evil.example")},
		"a slash too many":    {a.Secret, with(query, "iss", w.idp.Issuer()+"/")},
		"none, though due":    {a.Secret, with(query, "iss")},
		"empty":               {a.Secret, with(query, "iss", "")},
		"two":                 {a.Secret, with(query, "iss", w.idp.Issuer(), "https://evil.example")},
		"of the error answer": {a.Secret, with(with(query, "error", "access_denied"), "iss", "https://evil.example")},
	})
	require.Zero(t, w.idp.Requests("token"), "the code was not sent")
}

// With several tenants the issuer of a callback is any tenant's, and the token's.
func TestHostile25MixUpOfTenants(t *testing.T) {
	w := entra(t, map[string]any{"tid": tenantA, "oid": objectID})
	issuer := func(tenant string) string { return strings.ReplaceAll(w.idp.Issuer(), oidc.TenantPlaceholder, tenant) }
	for iss, ok := range map[string]bool{
		issuer(tenantA): true, issuer(tenantB): false, issuer("organizations"): false, w.idp.Issuer(): false,
		"https://evil.example/" + tenantA + "/v2.0": false, issuer(tenantA) + "/": false, "": false,
	} {
		a, query := w.attempt()
		require.False(t, query.Has("iss"), "as Entra ID does")
		_, err := w.rp.Finish(t.Context(), request(), a.Secret, with(query, "iss", iss))
		if ok {
			require.NoError(t, err, iss)
			continue
		}
		require.ErrorIs(t, err, sso.ErrCallback, iss)
	}
}

// Every check of a token or a callback, each broken alone.
func TestHostile21And22Checks(t *testing.T) {
	for _, fault := range []ssotest.Fault{
		ssotest.WrongIssuer, ssotest.IssuerTrailingSlash, ssotest.WrongAudience, ssotest.ExtraAudience, ssotest.WrongAZP, ssotest.ForeignAZP,
		ssotest.WrongNonce, ssotest.MissingNonce, ssotest.AlgNone, ssotest.AlgHS256, ssotest.AlgUnlisted,
		ssotest.AlgUnadvertised, ssotest.UnknownKey, ssotest.TraversalKeyID, ssotest.WrongSignature, ssotest.EmbeddedKey,
		ssotest.KeyURL, ssotest.CertURL, ssotest.TwoSignatures, ssotest.Expired, ssotest.MissingExpiry, ssotest.NotYetValid,
		ssotest.IssuedInFuture, ssotest.IssuedLongAgo, ssotest.EmptySubject, ssotest.LongSubject, ssotest.NULSubject,
		ssotest.WrongAtHash, ssotest.StaleAuthTime, ssotest.MissingAuthTime, ssotest.FutureAuthTime, ssotest.EmailVerifiedString,
		ssotest.MissingIDToken, ssotest.WrongState, ssotest.WrongCallbackIssuer, ssotest.MissingCallbackIssuer,
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *oidc.Config) { c.MaxAge = time.Hour })
			_, err := w.signIn()
			require.NoError(t, err, "honest")
			w.idp.Break(fault)
			w.rp = w.party(oidc.Config{ClientID: "enrollkit", ClientSecret: "secret", MaxAge: time.Hour}, nil)
			id, err := w.signIn()
			require.ErrorIs(t, err, sso.ErrCallback)
			require.NotErrorIs(t, err, sso.ErrUnavailable)
			require.Zero(t, id)
			w.idp.Repair()
			w.clock.Add(time.Minute)
			_, err = w.signIn()
			require.NoError(t, err, "honest again")
		})
	}
}

// A thousand tokens under unknown key ids, in 100 seconds.
func TestHostile21UnknownKeys(t *testing.T) {
	w := inProcess(t, nil)
	require.NoError(t, w.rp.Ready(t.Context()))
	require.Equal(t, 1, w.idp.Requests("jwks"))
	for i := range 1000 {
		w.idp.Repair()
		w.idp.Break([]ssotest.Fault{ssotest.UnknownKey, ssotest.TraversalKeyID}[i%2])
		w.clock.Add(100 * time.Millisecond)
		_, err := w.signIn()
		require.ErrorIs(t, err, sso.ErrCallback)
	}
	require.Equal(t, 4, w.idp.Requests("jwks"), "at most once in 30 seconds")
	w.idp.Repair()
	_, err := w.signIn()
	require.NoError(t, err)
	require.Equal(t, 4, w.idp.Requests("jwks"), "a known key needs no look-up")
}

// A key that is new is found, one that is withdrawn is forgotten, and a key
// endpoint that is down is not the person's fault.
func TestKeysRotate(t *testing.T) {
	w := inProcess(t, nil)
	rotate := func() {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		require.NoError(t, w.idp.Rotate(k))
	}
	_, err := w.signIn()
	require.NoError(t, err)
	rotate()
	w.clock.Add(time.Minute)
	_, err = w.signIn()
	require.NoError(t, err)
	require.Equal(t, 2, w.idp.Requests("jwks"))

	rotate()
	w.idp.Break(ssotest.KeysDown)
	w.clock.Add(time.Minute)
	for range 3 {
		_, err = w.signIn()
		require.ErrorIs(t, err, sso.ErrUnavailable)
	}
	require.Equal(t, 3, w.idp.Requests("jwks"), "no storm")
	w.idp.Repair()
	w.clock.Add(31 * time.Second)
	_, err = w.signIn()
	require.NoError(t, err)
}

// A provider that misbehaves makes sign-in unavailable within 10 seconds and does
// no lasting harm.
func TestHostile24Unavailable(t *testing.T) {
	for _, fault := range []ssotest.Fault{
		ssotest.DiscoveryDown, ssotest.SlowDiscovery, ssotest.GiantDiscovery, ssotest.HTMLDiscovery, ssotest.DiscoveryRedirect,
		ssotest.DiscoveryIssuerMismatch, ssotest.DiscoveryPlainEndpoints, ssotest.DiscoveryPlainPKCE, ssotest.DiscoveryWeakAlgs,
		ssotest.DiscoveryNoEndpoints, ssotest.KeysDown, ssotest.SlowKeys, ssotest.GiantKeys, ssotest.HTMLKeys, ssotest.ManyKeys,
		ssotest.WeakKey, ssotest.KeysEmpty, ssotest.TokenDown, ssotest.SlowToken, ssotest.GiantToken, ssotest.HTMLToken,
		ssotest.TokenRedirect, ssotest.TokenTattles,
	} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inProcess(t, nil)
				w.idp.Break(fault)
				began := time.Now()
				_, err := w.signIn()
				require.ErrorIs(t, err, sso.ErrUnavailable)
				require.NotErrorIs(t, err, sso.ErrCallback)
				require.LessOrEqual(t, time.Since(began), 10*time.Second)
				if !strings.Contains(string(fault), "token") {
					require.ErrorIs(t, w.rp.Ready(t.Context()), sso.ErrUnavailable)
				}
				w.idp.Repair()
				require.NoError(t, w.rp.Ready(t.Context()))
				_, err = w.signIn()
				require.NoError(t, err, "recovers")
			})
		})
	}
}

// The gigabyte of an answer is not read.
func TestHostile24MemoryIsFlat(t *testing.T) {
	for _, fault := range []ssotest.Fault{ssotest.GiantDiscovery, ssotest.GiantKeys, ssotest.GiantToken} {
		w := newWorld(t, nil)
		w.idp.Break(fault)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := w.signIn()
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, sso.ErrUnavailable)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), fault)
	}
}

// asked is a transport that keeps the hosts which it was asked for.
type asked struct {
	next  http.RoundTripper
	mu    sync.Mutex
	hosts map[string]bool
}

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.hosts[r.URL.Host] = true
	a.mu.Unlock()
	return a.next.RoundTrip(r)
}

// Groups that are elsewhere are not fetched, wherever the token says they are.
func TestHostile26DistributedClaimsAreNotFetched(t *testing.T) {
	w := newWorld(t, nil)
	transport := &asked{next: w.idp.HTTPClient().Transport, hosts: map[string]bool{}}
	w.rp = w.party(oidc.Config{ClientID: "enrollkit", ClientSecret: "secret"}, func(c *oidc.Config) {
		c.RootCAs, c.HTTPClient = nil, &http.Client{Transport: transport}
	})
	w.idp.Break(ssotest.GroupsTruncated)
	id, err := w.signIn()
	require.NoError(t, err)
	require.Equal(t, jit.GroupsTruncated, id.GroupState)
	u, err := url.Parse(w.idp.Issuer())
	require.NoError(t, err)
	require.Equal(t, map[string]bool{u.Host: true}, transport.hosts)

	w.idp.Repair()
	w.idp.Break(ssotest.GroupsMany)
	id, err = w.signIn()
	require.NoError(t, err)
	require.Len(t, id.Groups, 1000, "5000 are limited")
}

// An endpoint may have a query, which is kept. A fragment would swallow what is
// asked, and a parameter that is there already would be asked for twice.
func TestEndpointsWithMore(t *testing.T) {
	_, idp := fuzzed(t, nil)
	resp, err := idp.HTTPClient().Get(idp.Issuer() + "/.well-known/openid-configuration")
	require.NoError(t, err)
	honest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for more, usable := range map[string]bool{
		"": true, "?tenant=1": true, "#": false, "#fragment": false, "?nonce=theirs": false, "?state=theirs": false, "?tenant=%zz": false,
	} {
		body := strings.Replace(string(honest), `/authorize"`, `/authorize`+more+`"`, 1)
		rp, _ := fuzzed(t, func(c *oidc.Config) {
			c.Issuer, c.HTTPClient = idp.Issuer(), &http.Client{Transport: document{[]byte(body), idp.HTTPClient().Transport}}
		})
		a, err := rp.Begin(t.Context(), sso.Request{RedirectURL: callback})
		if !usable {
			require.ErrorIs(t, err, sso.ErrUnavailable, more)
			continue
		}
		require.NoError(t, err, more)
		u, err := url.Parse(a.URL)
		require.NoError(t, err)
		require.Equal(t, []string{oidc.Nonce(a.Secret)}, u.Query()["nonce"])
		require.Equal(t, more != "", u.Query().Get("tenant") == "1")
	}
}
