// Command quickstart runs the whole of enrollkit on embedded parts: SQLite, an
// OpenID Connect provider, development certificate authorities and an APNs
// stand-in. A simulated iPhone goes the whole way and each step is printed as
// it happens; the server stays up so that a person can click through the
// portal as well.
//
//	go run ./examples/quickstart
//
// It is to be read: options.go has the flags, server.go puts the parts
// together, each other file is one part, and story.go is what the phone does.
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
	"time"
)

// onceLimit bounds the story of a run with -once, which is over after 2 minutes
// with all that comes before and after.
const onceLimit = 100 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0, 1 when something did not hold, 2 for bad flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if o.once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, onceLimit, fmt.Errorf("the story took longer than %v", onceLimit))
		defer cancel()
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	tell := newTeller(stdout, o.json)

	s, err := start(ctx, o, logger)
	if err != nil {
		tell.failed("listen", err)
		return 1
	}
	defer s.close()
	tell.step("listen", detail{"url": s.base.String(), "apns": s.apns.URL(), "data": s.dir})

	code := 0
	if !o.noDevice {
		if err := s.story(ctx, tell, o); err != nil {
			code = 1
		}
		if o.once {
			return code
		}
	}
	tell.open(s.base.String())
	select {
	case <-ctx.Done():
	case err := <-s.failed:
		fmt.Fprintf(stderr, "quickstart: %v\n", err)
		code = 1
	}
	return code
}
