package pushtest

import (
	"crypto/tls"
	"net"
	"sync"
)

// listener speaks TLS on what it accepts, or leaves it alone.
type listener struct {
	net.Listener
	tls *tls.Config

	mu    sync.Mutex // guards the fields below
	deaf  bool
	stuck []net.Conn
}

func newListener(l net.Listener, cfg *tls.Config) *listener {
	return &listener{Listener: l, tls: cfg}
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.swallow(c) {
			return tls.Server(c, l.tls), nil
		}
	}
}

func (l *listener) swallow(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		l.stuck = append(l.stuck, c)
	}
	return l.deaf
}

func (l *listener) blackHole(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = on
	if !on {
		for _, c := range l.stuck {
			_ = c.Close()
		}
		l.stuck = nil
	}
}

func (l *listener) Close() error {
	l.blackHole(false)
	return l.Listener.Close()
}
