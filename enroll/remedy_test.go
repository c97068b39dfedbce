package enroll_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso"
)

func TestRemedy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want enroll.Code
	}{
		{sso.ErrStateUsed, enroll.CodeSignInUsed},
		{sso.ErrCallback, enroll.CodeSignInRefused},
		{sso.ErrUnavailable, enroll.CodeProviderDown},
		{&sso.DeniedError{Reason: sso.ReasonDenied}, enroll.CodeSignInDenied},
		{&sso.DeniedError{Reason: sso.ReasonDomain}, enroll.CodeDomain},
		{&sso.DeniedError{Reason: sso.ReasonTenant}, enroll.CodeTenant},
		{&sso.DeniedError{Reason: sso.ReasonMFA}, enroll.CodeMFA},
		{&sso.DeniedError{Reason: sso.ReasonGroup}, enroll.CodeGroup},
		{&sso.DeniedError{Reason: sso.ReasonGroupsAbsent}, enroll.CodeGroupsAbsent},
		{&sso.DeniedError{Reason: sso.ReasonGroupsTruncated}, enroll.CodeGroupsTruncated},
		{&sso.DeniedError{Reason: "not_found"}, enroll.CodeSignInDenied},
		{jit.ErrSuspended, enroll.CodeSuspended},
		{jit.ErrIdentity, enroll.CodeIdentity},
		{&jit.MappingError{}, enroll.CodeUnmapped},
		{mdm.ErrSuspended, enroll.CodeSuspended},
		{mdm.ErrDeviceLimit, enroll.CodeDeviceLimit},
		{enroll.ErrAccountUnknown, enroll.CodeAccountUnknown},
		{enroll.ErrNoSession, enroll.CodeNoSession},
		{enroll.ErrUnknownTicket, enroll.CodeTicketUnknown},
		{enroll.ErrTicketExpired, enroll.CodeTicketExpired},
		{enroll.ErrTicketSuperseded, enroll.CodeTicketSuperseded},
		{enroll.ErrTicketSpent, enroll.CodeTicketSpent},
		{enroll.ErrTicketExhausted, enroll.CodeTicketExhausted},
		{enroll.ErrChallenge, enroll.CodeChallenge},
		{scep.ErrRefused, enroll.CodeChallenge},
		{profile.ErrSigningCertificate, enroll.CodeSigning},
		{profile.ErrProfileDrivenRemoved, enroll.CodeOSAccount},
		{errors.New("nobody knows"), enroll.CodeInternal},
	} {
		p := enroll.Remedy(fmt.Errorf("deep down: %w", c.err))
		require.Equal(t, c.want, p.Code, c.err)
		require.NotEmpty(t, p.Remedy)
	}
}

func TestEveryProblemHelps(t *testing.T) {
	seen := map[enroll.Code]bool{}
	for p := range enroll.Problems() {
		require.Regexp(t, regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`), string(p.Code))
		require.False(t, seen[p.Code], "%s is there twice", p.Code)
		seen[p.Code] = true
		for _, text := range []string{p.Title, p.Cause, p.Remedy} {
			require.NotEmpty(t, text, p.Code)
			require.NotContains(t, text, "  ", p.Code)
		}
		require.Regexp(t, `[.!]$`, p.Cause, p.Code)
		require.Regexp(t, `[.!]$`, p.Remedy, p.Code)
		require.True(t, p.Status == 0 || p.Status >= 400 && p.Status < 600, p.Code)
		got, ok := enroll.ProblemOf(p.Code)
		require.True(t, ok)
		require.Equal(t, p, got)
	}
	_, ok := enroll.ProblemOf("no_such_code")
	require.False(t, ok)
}

func TestHelpListsCausesAndRemedies(t *testing.T) {
	w := newWorld(t)
	body := w.browser(curl).get("/help").body
	for p := range enroll.Problems() {
		if p.Topic == "" {
			continue
		}
		require.Contains(t, body, `id="`+string(p.Code)+`"`)
		require.Contains(t, body, "<code>"+string(p.Code)+"</code>")
	}
	for _, code := range []enroll.Code{enroll.CodeProfileDeleted, enroll.CodeAccountRefused, enroll.CodeOtherManagement, enroll.CodeNoNetwork, enroll.CodeClock, enroll.CodeOSTooOld, enroll.CodeOSAccount} {
		require.Contains(t, body, `id="`+string(code)+`"`)
	}
	require.Contains(t, body, `href="mailto:help@example.com"`)
}

func TestJSONOfAProblem(t *testing.T) {
	w := newWorld(t)
	a := w.browser(iPhone17).do(http.MethodPost, "/status", nil)
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	require.JSONEq(t, `{"code":"method_not_allowed","title":"That does not work here","cause":"The address exists, but it is not used in this way.","remedy":"Start again from the first page."}`, a.body)
}

// What the first page promises is what the gate enforces: each promise stands on
// names that exist, and each holds for this table.
func TestThePageCannotPromiseMoreThanTheGate(t *testing.T) {
	w := newWorld(t)
	body := w.browser(iPhone17).get("").body
	for _, claims := range []struct {
		list    []enroll.Claim
		allowed bool
	}{{enroll.Never, false}, {enroll.Can, true}} {
		for _, c := range claims.list {
			text, rules := enroll.ClaimOf(c)
			require.Contains(t, body, "<li>"+text+"</li>", "the gate does not agree with it")
			require.NotEmpty(t, rules)
			for _, rule := range rules {
				kind, name, _ := strings.Cut(rule, " ")
				require.True(t, exists(kind, name), "%s is nothing that Apple knows", rule)
				require.Equal(t, claims.allowed, mdm.WayProfile.Allows(rule), rule)
			}
		}
	}
	for _, q := range mdm.WayProfile.RefusedQueries() {
		require.Contains(t, body, "<li>"+q+"</li>")
	}
	serial, _ := enroll.ClaimOf(enroll.Never[0])
	require.Contains(t, enroll.ClaimsOf(enroll.Never, mdm.WayAccount), serial)
	require.NotContains(t, enroll.ClaimsOf(enroll.Never, mdm.WayDevice), serial, "where the gate lets it pass, the promise is off the page")
}

func exists(kind, name string) bool {
	switch kind {
	case "command":
		_, ok := appleschema.Command(name)
		return ok
	case "payload":
		_, ok := appleschema.Payload(name)
		return ok
	}
	_, query := appleschema.Query("DeviceInformation", name)
	return query || name == "PasscodePresent"
}
