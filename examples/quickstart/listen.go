package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// listen opens the port. Port 0 is any free one, but the one that it was with
// this data directory before if that is free: phones, and the identity
// provider's issuer, know this server by its address.
func listen(ctx context.Context, dir, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host == "localhost" {
		host = "127.0.0.1" // RFC 6761, section 6.3; not every system has a hosts file
	}
	open := func(port string) (net.Listener, error) {
		return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	}
	file := filepath.Join(dir, "port")
	if port == "0" {
		if before, err := os.ReadFile(file); err == nil {
			if listener, err := open(string(before)); err == nil {
				return listener, nil
			}
			return open(port) // another process has it, and keeps it
		}
	}
	listener, err := open(port)
	if err != nil {
		return nil, err
	}
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err == nil {
		err = replace(file, []byte(port))
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// baseURL is the address of this server when no other was asked for.
func baseURL(listener net.Listener) *url.URL {
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if ip := net.ParseIP(host); err != nil || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // all addresses are listened on, this one is ours for sure
	}
	return &url.URL{Scheme: "https", Host: ourHost(net.JoinHostPort(host, port))}
}

// newHTTPServer bounds what a client may take. The portal's live pages extend
// their own write deadline.
func newHTTPServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ErrorLog:          log.New(&serverLog{logger}, "", 0),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
}

// serverLog writes what net/http complains about. That a browser does not trust
// the development CA is nothing to warn of.
type serverLog struct{ logger *slog.Logger }

// Write implements io.Writer.
func (l *serverLog) Write(message []byte) (int, error) {
	level := slog.LevelWarn
	if bytes.Contains(message, []byte("TLS handshake error")) {
		level = slog.LevelInfo
	}
	l.logger.Log(context.Background(), level, string(bytes.TrimSpace(message)))
	return len(message), nil
}

// ownTransport reaches this server under any name that it may have outside, and
// trusts the development CA.
func ownTransport(listener net.Listener, roots *x509.CertPool) *http.Transport {
	addr := listener.Addr()
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
		},
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
		IdleConnTimeout:   30 * time.Second,
	}
}
