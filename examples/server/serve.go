package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

// serve runs the node until ctx ends, and then stops it: readiness says no,
// requests finish, live pages end, the push worker puts down what it holds, the
// database is closed. Everybody is asked to come again until the database is open,
// and up is called then.
func (n *node) serve(ctx context.Context, up func()) (err error) {
	if err := n.listen(ctx); err != nil {
		return err
	}
	running, fail := context.WithCancelCause(ctx) // whatever fails ends everything
	defer fail(nil)
	stopAdmin := start(n.newServer(n.health()), n.admin, fail)
	defer func() { err = errors.Join(err, stopAdmin(context.Background())) }()
	n.warn()
	web := n.newServer(n.handler)
	web.TLSConfig = n.parts.tls
	web.RegisterOnShutdown(n.portal.Close)
	stopWeb := start(web, n.public, fail)

	if n.database.open(running, n.options(), n.log) == nil {
		defer func() { err = errors.Join(err, n.database.Close()) }()
		stopRetention := background(n.retention().Run, fail)
		defer func() { err = errors.Join(err, stopRetention()) }()
		stopWorker := background(n.worker.Run, fail)
		defer func() { err = errors.Join(err, stopWorker()) }()
		up()
		<-running.Done()
	} // otherwise it is not to go on

	n.stopping.Store(true)
	n.log.Info("stopping")
	if ctx.Err() == nil {
		err = context.Cause(running)
	} else if n.database.opened.Load() { // a balancer has brought nobody before
		pause(time.Duration(n.config.Stop.Delay))
	}
	limited, cancel := context.WithTimeout(context.Background(), time.Duration(n.config.Stop.Limit))
	defer cancel()
	return errors.Join(err, stopWeb(limited))
}

// listen opens both listeners: where that does not go, nothing is begun.
func (n *node) listen(ctx context.Context) (err error) {
	var c net.ListenConfig
	if n.admin, err = c.Listen(ctx, "tcp", n.config.Admin); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if n.public, err = c.Listen(ctx, "tcp", n.config.Listen); err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), n.admin.Close())
	}
	return nil
}

// renewal is how many days before its end a push certificate is worth a warning.
const renewal = 30

// warn says what will not go well for long. A node whose push certificate has
// expired is not ready, and serves all the same: devices that come by themselves
// have what they come for.
func (n *node) warn() {
	if left := n.parts.certificate.DaysLeft(time.Now()); left < renewal {
		n.log.Warn("renew the push certificate at Apple, with the same Apple Account: a new one has another topic, and no enrolled device hears from it", "days_left", left)
	}
}

// options are those of the database.
func (n *node) options() postgres.Options {
	return postgres.Options{DSN: n.config.Database.DSN, Connections: n.config.Database.Connections, Keys: n.parts.sealKeys}
}

// retention forgets what is over. Each node runs one, as each runs a worker.
func (n *node) retention() storage.Retention {
	return storage.Retention{
		Store: n.database, Keep: time.Duration(n.config.Retention.Keep), Every: time.Duration(n.config.Retention.Every), Logger: n.log,
	}
}

// pause waits.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// newServer bounds what a client may take. The portal's live pages extend their
// own write deadline.
func (n *node) newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ErrorLog:          log.New(&serverLog{n.log}, "", 0),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
}

// start serves a listener and returns what stops that: requests go on until its
// context ends.
func start(web *http.Server, listener net.Listener, fail context.CancelCauseFunc) (stop func(context.Context) error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		serve := web.Serve
		if web.TLSConfig != nil {
			serve = func(l net.Listener) error { return web.ServeTLS(l, "", "") }
		}
		err := serve(listener)
		if !errors.Is(err, http.ErrServerClosed) {
			fail(fmt.Errorf("%s: %w", listener.Addr(), err))
		}
	}()
	return func(ctx context.Context) error {
		err := web.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, web.Close())
		}
		<-ended
		return err
	}
}

// background runs what runs until its context ends, and returns what ends it.
func background(run func(context.Context) error, fail context.CancelCauseFunc) (end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			fail(err)
		}
		ended <- err
	}()
	return func() error {
		cancel()
		return <-ended
	}
}

// serverLog writes what net/http complains about. What a client's TLS does not
// like is the client's.
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
