package mysql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/sqltest"
)

// TestAFanOutMeetsNoLimit queues more than one statement takes.
func TestAFanOutMeetsNoLimit(t *testing.T) {
	s := open(t, options(newDSN(t)))
	enrolled(t, s, "a")
	sqltest.FanOut(t, s, "E-a", sealedAt, func(step func() error) { require.NoError(t, step()) })
}
