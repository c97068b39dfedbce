package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/enrollkit/enrollkit/storage"
)

// checkLimit is how long the checks of one request may take.
const checkLimit = 5 * time.Second

// check is one thing that readiness needs.
type check struct {
	name string
	run  func(context.Context) error
}

var errStopping = errors.New("the server is stopping")

// checks are what a node needs to do its work.
func (n *node) checks() []check {
	return []check{
		{"stopping", func(context.Context) error {
			if n.stopping.Load() {
				return errStopping
			}
			return nil
		}},
		{"database", n.database.ping},
		{"portal", n.portal.Ready},
		{"push-certificate", func(context.Context) error {
			if left := n.parts.pusher.Certificate().DaysLeft(time.Now()); left < 0 {
				return fmt.Errorf("it expired %d days ago", -left)
			}
			return nil
		}},
	}
}

// verdict is what is told of a check that failed: nothing that helps a stranger.
func verdict(err error) string {
	var schema *storage.SchemaError
	switch {
	case errors.Is(err, storage.ErrKey):
		return "failed: database.keys are not those of this database"
	case errors.As(err, &schema):
		return "failed: the schema is from a newer version"
	case errors.Is(err, errNotOpen):
		return "failed: not open yet"
	default:
		return "failed"
	}
}

// health answers on the admin address:
//
//	GET /healthz         the process answers, whatever else is down
//	GET /readyz          all checks hold
//	GET /readyz/{check}  this one does
//
// A load balancer that asks for /readyz/database goes on bringing devices while
// only the identity provider is away. More of the reason than verdict tells is
// in the log and not in the answer.
func (n *node) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { n.ready(w, r, n.checks()) })
	mux.HandleFunc("GET /readyz/{check}", func(w http.ResponseWriter, r *http.Request) {
		for _, c := range n.checks() {
			if c.name == r.PathValue("check") {
				n.ready(w, r, []check{c})
				return
			}
		}
		http.NotFound(w, r)
	})
	return mux
}

func (n *node) ready(w http.ResponseWriter, r *http.Request, checks []check) {
	ctx, cancel := context.WithTimeout(r.Context(), n.checkLimit)
	defer cancel()
	status, told := http.StatusOK, map[string]string{}
	for _, c := range checks {
		told[c.name] = "ok"
		if err := c.run(ctx); err != nil {
			status, told[c.name] = http.StatusServiceUnavailable, verdict(err)
			n.log.WarnContext(r.Context(), "not ready", "check", c.name, "error", err)
		}
	}
	answer(w, status, told)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the asker may have gone
}
