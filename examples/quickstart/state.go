package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/storage"
)

// state answers GET /state for peers on this machine: what is stored, without a
// secret.
func (s *server) state(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	peer, parseErr := netip.ParseAddr(host)
	if err != nil || parseErr != nil || !peer.Unmap().IsLoopback() {
		http.NotFound(w, r)
		return
	}
	stored, err := s.store.State(r.Context())
	if err != nil {
		s.log.ErrorContext(r.Context(), "state", "error", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(tables(stored))
}

type row map[string]any

// tables writes a state as /state tells it.
func tables(stored storage.State) map[string][]row {
	t := map[string][]row{"users": {}, "tickets": {}, "enrollments": {}, "commands": {}, "pushes": {}}
	add := func(table string, r row) { t[table] = append(t[table], r) }
	for _, u := range stored.Users {
		add("users", row{
			"id": u.ID, "issuer": u.Issuer, "subject": u.Subject, "groups": groups(u),
			"managed_apple_account": u.ManagedAppleAccount, "suspended": u.Suspended,
		})
	}
	refs := map[string]string{}
	for _, k := range stored.Tickets {
		refs[k.ID] = k.Ref
		add("tickets", row{
			"ref": k.Ref, "user": k.UserID, "state": k.State, "ownership": k.Ownership,
			"issued": k.Issued.UTC().Format(time.RFC3339), "downloads": k.Downloads,
		})
	}
	for _, e := range stored.Enrollments {
		add("enrollments", row{
			"enrollment_id": e.ID, "user": e.UserID, "ticket": refs[e.TicketID], "state": e.State,
			"certificate_sha256": digest(e.Certificate),
		})
	}
	for _, c := range stored.Commands {
		add("commands", row{"command_uuid": c.UUID, "enrollment_id": c.EnrollmentID, "request_type": c.RequestType, "status": c.Status})
	}
	for _, p := range stored.Pushes {
		add("pushes", row{"enrollment_id": p.EnrollmentID, "status": p.Status, "time": p.Time.UTC().Format(time.RFC3339)})
	}
	return t
}

// groups are a person's groups, a list also when there are none.
func groups(u jit.User) []string {
	if u.Groups == nil {
		return []string{}
	}
	return u.Groups
}
