// Command server is enrollkit as a company runs it: PostgreSQL, its own identity
// provider, its own push certificate, any number of nodes side by side.
//
//	go run ./examples/server -config server.json
//
// README.md has the settings. To try it without any of those, but with a
// PostgreSQL and an empty database in it ("createdb enrollkit"):
//
//	go run ./examples/server -dev DIR -dsn postgres:///enrollkit
//
// It is to be read: config.go has the settings, settings.go and reader.go read
// them, parts.go has what is made of them, node.go puts that together, serve.go
// starts and stops it, health.go says how it is. moving.go takes a fleet elsewhere,
// reseal.go makes an old key needless. dev.go and standins.go are for -dev only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0, 1 when the server ended by a failure, 2 when it
// was told to do what cannot be done.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	c, f := configure(o, environ)
	var d *standIns
	if o.dev != "" {
		if d, err = o.trial(ctx, &c, f); err != nil {
			f.join(err)
			fmt.Fprintln(stderr, describe(f.err()))
			return 2
		}
		defer d.close()
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: c.level()}))
	n, err := newNode(c, f, logger)
	if err != nil {
		fmt.Fprintln(stderr, describe(err))
		return 2
	}
	if o.check {
		fmt.Fprintln(stdout, "the configuration is good")
		return 0
	}
	work := func() error { return n.serve(ctx, func() { tell(stdout, n, d) }) }
	switch {
	case o.export != "" || o.imports != "":
		work = func() error { return n.move(ctx, o, stderr) }
	case o.reseal:
		work = func() error { return n.reseal(ctx, stdout, stderr) }
	}
	if err := work(); err != nil {
		fmt.Fprintf(stderr, "server: %v\n", err)
		return 1
	}
	return 0
}

// tell says where the server is, one line for people and one for programs each.
func tell(w io.Writer, n *node, d *standIns) {
	fmt.Fprintf(w, "serving %s on %s, health on http://%s/readyz\n", n.portal.URL(), n.public.Addr(), n.admin.Addr())
	if d != nil {
		fmt.Fprintf(w, "sign in as alice@example.com or bob@example.com, password %q\n", password)
		fmt.Fprintf(w, "another node: go run ./examples/server -config %s -listen 127.0.0.1:0 -admin 127.0.0.1:0\n", d.config)
	}
}
