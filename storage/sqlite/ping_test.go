package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/sqlite"
)

func TestPing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enrollkit.db")
	s := open(t, path, sqlite.Options{AllowUnsealed: true, Readers: 1})
	require.NoError(t, s.Ping(t.Context()))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Ping(ended), context.Canceled)

	require.NoError(t, s.Close())
	require.ErrorContains(t, s.Ping(t.Context()), "sqlite: ping: ")
}
