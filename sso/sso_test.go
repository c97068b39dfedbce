package sso_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/sso"
)

func TestReasonsArePermanentCodes(t *testing.T) {
	for reason, code := range map[sso.Reason]string{
		sso.ReasonDenied: "access_denied", sso.ReasonDomain: "domain_not_allowed", sso.ReasonTenant: "tenant_not_allowed",
		sso.ReasonMFA: "mfa_required", sso.ReasonGroup: "group_required", sso.ReasonGroupsAbsent: "groups_absent",
		sso.ReasonGroupsTruncated: "groups_truncated",
	} {
		require.Equal(t, code, string(reason))
	}
}

func TestDeniedIsNeitherForgedNorUnavailable(t *testing.T) {
	err := fmt.Errorf("sign-in: %w", &sso.DeniedError{Reason: sso.ReasonMFA, Detail: "no amr"})
	var denied *sso.DeniedError
	require.ErrorAs(t, err, &denied)
	require.ErrorContains(t, err, "mfa_required: no amr")
	require.False(t, errors.Is(err, sso.ErrCallback) || errors.Is(err, sso.ErrUnavailable) || errors.Is(err, sso.ErrStateUsed))
}
