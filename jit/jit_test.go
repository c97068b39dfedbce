package jit_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/jit"
)

func TestGroupsFailClosedByDefault(t *testing.T) {
	var id jit.Identity
	require.Equal(t, jit.GroupsAbsent, id.GroupState)
}

func TestErrorsAreDistinct(t *testing.T) {
	err := fmt.Errorf("user 7: %w", jit.ErrSuspended)
	require.ErrorIs(t, err, jit.ErrSuspended)
	require.False(t, errors.Is(err, jit.ErrUnknownUser))
}
