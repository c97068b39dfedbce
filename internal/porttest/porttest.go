// Package porttest finds ports for servers that tests start in other processes,
// and perhaps start again.
package porttest

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// first and count are the ports that are given out. They are below those that
// systems give to whoever asks for any, so that a port stays free until the server
// listens, and while it is down.
const (
	first = 10_000
	count = 20_000
)

// given is how many this process was given. It begins where other processes that
// run at the same time mostly do not.
var given atomic.Uint32

// Address is a loopback address that nobody listens on. No other call of this
// process returns it, and none of another process until the test ends: the UDP
// port of the same number says so.
func Address(t testing.TB) string {
	t.Helper()
	for range count {
		port := first + (64*os.Getpid()+int(given.Add(1)))%count
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		taken, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", address)
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = taken.Close() }) // nothing was sent
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("porttest: all ports are in use")
	return ""
}
