package porttest_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/porttest"
)

func TestAddress(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		address := porttest.Address(t)
		require.False(t, seen[address], "given twice")
		seen[address] = true
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, listener.Close()) })
		_, err = net.ListenPacket("udp", address)
		require.Error(t, err, "another process may be given it")
	}
}
