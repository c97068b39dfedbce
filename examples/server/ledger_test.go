package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
)

// refused reports whether nobody listened.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// ledger is what was acknowledged to phones and to who queues commands. What
// stands in it must stand in the database.
type ledger struct {
	mu          sync.Mutex
	enrollments map[string][32]byte          // TokenUpdate was answered 200
	queued      map[string]string            // CommandUUID to enrollment: Enqueue returned nil
	results     map[string]mdm.CommandStatus // a report was answered 200
	wrong       []string
}

func newLedger() *ledger {
	return &ledger{enrollments: map[string][32]byte{}, queued: map[string]string{}, results: map[string]mdm.CommandStatus{}}
}

func (l *ledger) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// watched is a phone's network: each report that is answered 200 goes into the
// ledger, and so does every answer to a device that says more than "again".
type watched struct {
	http.RoundTripper
	*ledger
	name string
}

// RoundTrip implements http.RoundTripper.
func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPut || r.URL.Path != "/mdm/connect" {
		return w.RoundTripper.RoundTrip(r)
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var report struct {
		Status      mdm.CommandStatus
		CommandUUID string
	}
	if err := plist.Unmarshal(b, plist.Limits{Bytes: 1 << 20}, &report); err != nil {
		return nil, err
	}
	resp, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	// An answer counts when all of it has come.
	answer, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	w.note(func() {
		switch {
		case resp.StatusCode == http.StatusOK && final(report.Status):
			if before, ok := w.results[report.CommandUUID]; ok && before != report.Status {
				w.wrong = append(w.wrong, fmt.Sprintf("%s was executed twice, %s and %s", report.CommandUUID, before, report.Status))
			}
			w.results[report.CommandUUID] = report.Status
		case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusBadGateway && resp.StatusCode != http.StatusServiceUnavailable:
			w.wrong = append(w.wrong, fmt.Sprintf("%s was answered %s", w.name, resp.Status))
		}
	})
	return resp, nil
}

// final reports whether a status changes no more.
func final(s mdm.CommandStatus) bool {
	return s == mdm.CommandAcknowledged || s == mdm.CommandError || s == mdm.CommandFormatError
}

// compare names all that was acknowledged and is not stored, and whatever was
// stored twice. finals is how often each command became final.
func (l *ledger) compare(s storage.State, finals map[string]int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := append([]string(nil), l.wrong...)
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	enrolled := map[string]mdm.Enrollment{}
	tickets := map[string]string{}
	for _, e := range s.Enrollments {
		if e.State != mdm.StateEnrolled {
			continue
		}
		enrolled[e.ID] = e
		if other, ok := tickets[e.TicketID]; ok {
			complain("ticket %s became the enrollments %s and %s", e.TicketID, other, e.ID)
		}
		tickets[e.TicketID] = e.ID
		if _, ok := l.enrollments[e.ID]; !ok {
			complain("enrollment %s is no phone's", e.ID)
		}
	}
	for id, digest := range l.enrollments {
		if e, ok := enrolled[id]; !ok || e.Certificate != digest {
			complain("enrollment %s was acknowledged and is not stored", id)
		}
	}
	stored := map[string]mdm.Command{}
	for _, c := range s.Commands {
		stored[c.UUID] = c
		if _, ok := enrolled[c.EnrollmentID]; ok && !final(c.Status) {
			complain("command %s is still %s", c.UUID, c.Status)
		}
	}
	for uuid, enrollment := range l.queued {
		if c, ok := stored[uuid]; !ok || c.EnrollmentID != enrollment {
			complain("command %s was queued and is not stored", uuid)
		}
	}
	for uuid, status := range l.results {
		if c := stored[uuid]; c.Status != status || !strings.Contains(string(c.Result), uuid) {
			complain("the result %s of command %s was acknowledged, and stored is %q", status, uuid, c.Status)
		}
	}
	for uuid, n := range finals {
		if n != 1 {
			complain("command %s became final %d times", uuid, n)
		}
	}
	for uuid, c := range stored {
		if final(c.Status) && finals[uuid] == 0 {
			complain("command %s is %s, and never became so", uuid, c.Status)
		}
	}
	return wrong
}
