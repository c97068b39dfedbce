package ssotest_test

import (
	"encoding/base64"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/sso/ssotest"
)

// changes are, for each fault of the token, the parts that are not as they should
// be: header.x, a claim, or signature.
var changes = map[ssotest.Fault][]string{
	ssotest.WrongIssuer: {"iss"}, ssotest.IssuerTrailingSlash: {"iss"}, ssotest.WrongAudience: {"aud"},
	ssotest.ExtraAudience: {"aud"}, ssotest.WrongAZP: {"aud", "azp"}, ssotest.ForeignAZP: {"azp"}, ssotest.WrongNonce: {"nonce"},
	ssotest.MissingNonce: {"nonce"}, ssotest.Expired: {"exp"}, ssotest.MissingExpiry: {"exp"}, ssotest.NotYetValid: {"nbf"},
	ssotest.IssuedInFuture: {"exp", "iat"}, ssotest.IssuedLongAgo: {"iat"}, ssotest.EmptySubject: {"sub"}, ssotest.LongSubject: {"sub"},
	ssotest.NULSubject: {"sub"}, ssotest.WrongAtHash: {"at_hash"}, ssotest.StaleAuthTime: {"auth_time"},
	ssotest.MissingAuthTime: {"auth_time"}, ssotest.FutureAuthTime: {"auth_time"}, ssotest.EmailUnverified: {"email_verified"},
	ssotest.EmailVerifiedString: {"email_verified"}, ssotest.GroupsAbsent: {"groups"}, ssotest.GroupsEmpty: {"groups"},
	ssotest.GroupsTruncated: {"_claim_names", "_claim_sources", "groups"}, ssotest.GroupsHasGroups: {"groups", "hasgroups"},
	ssotest.GroupsCut: {"groups"}, ssotest.GroupsMany: {"groups"}, ssotest.GroupsMalformed: {"groups"},
	ssotest.AlgNone: {"header.alg", "header.kid"}, ssotest.AlgHS256: {"header.alg"}, ssotest.AlgUnlisted: {"header.alg", "header.kid"},
	ssotest.AlgUnadvertised: {"header.alg", "header.kid"}, ssotest.UnknownKey: {"header.kid"}, ssotest.TraversalKeyID: {"header.kid"},
	ssotest.WrongSignature: {"signature"}, ssotest.EmbeddedKey: {"header.jwk", "header.kid"}, ssotest.KeyURL: {"header.jku"},
	ssotest.CertURL: {"header.x5u"},
}

// elsewhere are the faults that are no matter of one token, and are tested by
// what a relying party makes of them (package sso/oidc).
var elsewhere = []ssotest.Fault{
	ssotest.WrongTenant, ssotest.TwoSignatures, ssotest.MissingIDToken, ssotest.AccessDenied, ssotest.WrongState,
	ssotest.WrongCallbackIssuer, ssotest.MissingCallbackIssuer, ssotest.DiscoveryDown, ssotest.SlowDiscovery, ssotest.GiantDiscovery,
	ssotest.HTMLDiscovery, ssotest.DiscoveryRedirect, ssotest.DiscoveryIssuerMismatch, ssotest.DiscoveryPlainEndpoints,
	ssotest.DiscoveryPlainPKCE, ssotest.DiscoveryWeakAlgs, ssotest.DiscoveryNoEndpoints, ssotest.KeysDown, ssotest.SlowKeys,
	ssotest.GiantKeys, ssotest.HTMLKeys, ssotest.ManyKeys, ssotest.WeakKey, ssotest.KeysEmpty, ssotest.TokenDown, ssotest.SlowToken,
	ssotest.GiantToken, ssotest.HTMLToken, ssotest.TokenRedirect, ssotest.TokenTattles, ssotest.OddRefusal,
}

// parts takes a token apart without trusting it.
func parts(t *testing.T, raw string) map[string]any {
	t.Helper()
	pieces := strings.Split(raw, ".")
	require.Len(t, pieces, 3)
	all := map[string]any{}
	for i, prefix := range []string{"header.", ""} {
		b, err := base64.RawURLEncoding.DecodeString(pieces[i])
		require.NoError(t, err)
		var m map[string]any
		require.NoError(t, json.Unmarshal(b, &m))
		for k, v := range m {
			all[prefix+k] = v
		}
	}
	return all
}

// Each fault breaks just what its name says.
func TestFaults(t *testing.T) {
	b := newBrowser(t)
	issue := func() (map[string]any, string) {
		status, answer := b.redeem(redemption(b.code()))
		require.Equal(t, http.StatusOK, status)
		raw := answer["id_token"].(string)
		return parts(t, raw), raw
	}
	for fault, want := range changes {
		t.Run(string(fault), func(t *testing.T) {
			honest, _ := issue()
			b.idp.Break(fault)
			broken, raw := issue()
			b.idp.Repair()
			differ := map[string]bool{}
			for _, m := range []map[string]any{honest, broken} {
				for k := range m {
					if k != "at_hash" || slices.Contains(want, k) { // another access token each time
						differ[k] = differ[k] || !equal(honest[k], broken[k])
					}
				}
			}
			maps.DeleteFunc(differ, func(_ string, d bool) bool { return !d })
			if slices.Equal(want, []string{"signature"}) {
				require.Empty(t, differ)
				require.Error(t, b.verify(raw))
				return
			}
			require.Equal(t, want, slices.Sorted(maps.Keys(differ)))
		})
	}
	honest, raw := issue()
	require.NoError(t, b.verify(raw))
	require.Equal(t, "alice-1", honest["sub"], "honest again")
}

func equal(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// No fault is without a test.
func TestEveryFaultIsListed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "faults.go", nil, 0)
	require.NoError(t, err)
	var all []ssotest.Fault
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			all = append(all, ssotest.Fault(text))
		}
		return true
	})
	require.Greater(t, len(all), 60)
	require.ElementsMatch(t, all, slices.Concat(slices.Collect(maps.Keys(changes)), elsewhere))
}
