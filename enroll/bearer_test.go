package enroll_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// TestBearerUse walks what RFC 6750 and RFC 9700 ask of the resource.
func TestBearerUse(t *testing.T) {
	o := newOAuthWorld(t)
	body := signed(t, o.builtIn, phoneInfo)
	k := granted(t, o.tokenRequest(byCode(o.code(nil).Get("code")), nil))
	challenged := func(t *testing.T, a answer) {
		t.Helper()
		require.Equal(t, http.StatusUnauthorized, a.StatusCode)
		require.Len(t, a.Header.Values("WWW-Authenticate"), 1)
		require.Regexp(t, oauthChallenge, a.Header.Get("WWW-Authenticate"))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	}
	t.Run("RFC 6750 §2.1: in the header, in one spelling or the other", func(t *testing.T) {
		for _, scheme := range []string{"Bearer ", "bearer ", "BEARER "} {
			require.Equal(t, http.StatusOK, o.post(body, "Authorization", scheme+k.AccessToken).StatusCode, "RFC 9110 §11.1")
		}
	})
	t.Run("RFC 6750 §2.2, §2.3, RFC 9700 §4.3.2: neither in a form nor in the address", func(t *testing.T) {
		challenged(t, o.send(http.MethodPost, "/account/byod?access_token="+k.AccessToken, body))
		bare(t, o.send(http.MethodPost, "/account/byod", "access_token="+k.AccessToken, "Content-Type", "application/x-www-form-urlencoded"), http.StatusBadRequest)
	})
	t.Run("RFC 6750 §3: a challenge of the scheme Bearer, without an error code", func(t *testing.T) {
		// §3.1 would have error="invalid_token" with a token that is not in force.
		// Apple documents the parameters of its challenge, and no other.
		challenged(t, o.post(body))
		challenged(t, o.post(body, "Authorization", "Bearer unknown"))
		challenged(t, o.post(body, "Authorization", "Bearer "+k.RefreshToken))
	})
	t.Run("RFC 6750 §2: one method, once", func(t *testing.T) {
		challenged(t, o.post(body, "Authorization", "Bearer "+k.AccessToken, "Authorization", "Bearer "+k.AccessToken))
	})
	t.Run("RFC 6750 §3.1, RFC 9700 §2.3: what the token is not for is forbidden", func(t *testing.T) {
		bare(t, o.send(http.MethodPost, "/account/adde", body, "Authorization", "Bearer "+k.AccessToken), http.StatusForbidden)
	})
	t.Run("RFC 6750 §5.3: an hour, and no longer", func(t *testing.T) {
		require.Equal(t, 3600, k.ExpiresIn)
		o.clock.add(time.Hour - time.Second)
		require.True(t, o.bearer(k.AccessToken))
		o.clock.add(time.Second)
		challenged(t, o.post(body, "Authorization", "Bearer "+k.AccessToken))
	})
	t.Run("RFC 9700 §2.2.1: from Authenticate on it is nothing without the device's certificate", func(t *testing.T) {
		p, account := o.enrolled(alice)
		thief, theirs := o.enrolled(bob)
		mine := theirs.Tokens
		theirs.Tokens = mdmtest.Tokens{Access: account.Tokens.Access}
		o.challenged(thief)
		theirs.Tokens = mine
		connects(t, p)
		connects(t, thief)
		require.Equal(t, http.StatusForbidden, o.send(http.MethodPut, o.server.URL+"/mdm/connect", "<plist/>",
			"Content-Type", "application/x-apple-aspen-mdm", "Authorization", "Bearer "+account.Tokens.Access).StatusCode)
	})
}
