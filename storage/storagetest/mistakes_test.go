package storagetest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// The mistakes that several clauses must catch.

// everySession gives each ticket a session of its own.
func everySession() hooks {
	return hooks{issueTicket: func(ctx context.Context, m *memory.Store, t enroll.Ticket, _ [32]byte) error {
		t.Session = sha256.Sum256([]byte(t.ID))
		return m.IssueTicket(ctx, t, [32]byte{})
	}}
}

func unbounded() hooks {
	return hooks{download: func(ctx context.Context, m *memory.Store, d enroll.DownloadStep) (enroll.Ticket, error) {
		d.MaxDownloads = 1000
		return m.Download(ctx, d)
	}}
}

// anyKey gives a certificate to whoever asks.
func anyKey() hooks {
	return hooks{identify: func(ctx context.Context, m *memory.Store, d enroll.IdentifyStep) ([]byte, error) {
		der, err := m.Identify(ctx, d)
		if errors.Is(err, enroll.ErrChallenge) {
			return bytes.Clone(d.Certificate), nil
		}
		return der, err
	}}
}

// anyName accepts a bound certificate under any name.
func anyName() hooks {
	return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
		e, err := m.Authenticate(ctx, a)
		if errors.Is(err, mdm.ErrForeignCertificate) {
			err = nil
		}
		return e, err
	}}
}

// anyCertificate accepts any certificate under a known name.
func anyCertificate() hooks {
	return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
		e, err := m.Authenticate(ctx, a)
		if known, lookup := m.Enrollment(ctx, a.EnrollmentID); errors.Is(err, mdm.ErrForeignCertificate) && lookup == nil {
			return known, nil
		}
		return e, err
	}}
}

// neverMoves refuses a known name under another certificate, whosever it is.
func neverMoves() hooks {
	return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
		if e, err := m.Enrollment(ctx, a.EnrollmentID); err == nil && e.Certificate != a.Certificate {
			return mdm.Enrollment{}, mdm.ErrForeignCertificate
		}
		return m.Authenticate(ctx, a)
	}}
}

// plansAgain queues the plan of every TokenUpdate.
func plansAgain() hooks {
	var n atomic.Int64
	return hooks{tokenUpdate: func(ctx context.Context, m *memory.Store, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
		e, err := m.TokenUpdate(ctx, u)
		for _, c := range u.Plan {
			if err == nil {
				c.UUID += fmt.Sprint(" ", n.Add(1))
				err = m.Enqueue(ctx, c)
			}
		}
		return e, err
	}}
}

// reportsAgain says that every report was recorded.
func reportsAgain() hooks {
	return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
		out, err := m.Exchange(ctx, x)
		if err == nil && out.Reported == nil && x.CommandUUID != "" {
			out.Reported = &mdm.Command{UUID: x.CommandUUID}
		}
		return out, err
	}}
}

func neverEnds() hooks {
	return hooks{unenroll: func(ctx context.Context, m *memory.Store, id string, _ time.Time) error {
		_, err := m.Enrollment(ctx, id)
		return err
	}}
}

func noLease() hooks {
	return hooks{claim: func(ctx context.Context, m *memory.Store, now time.Time, _ time.Duration, limit int) ([]push.Target, error) {
		return m.ClaimPushes(ctx, now, 0, limit)
	}}
}

// loses drops what some calls queue.
func loses() hooks {
	var n atomic.Int64
	return hooks{enqueue: func(ctx context.Context, m *memory.Store, commands []mdm.Command) error {
		if n.Add(1)%7 == 0 {
			return nil
		}
		return m.Enqueue(ctx, commands...)
	}}
}

// unheard notes a contact by Exchange only.
func unheard() hooks {
	contacts := map[string]time.Time{}
	return hooks{
		tokenUpdate: func(ctx context.Context, m *memory.Store, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
			before, _ := m.Enrollment(ctx, u.EnrollmentID)
			e, err := m.TokenUpdate(ctx, u)
			if err == nil {
				e.Contact = before.Contact
				contacts[u.EnrollmentID] = before.Contact
			}
			return e, err
		},
		exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			delete(contacts, x.EnrollmentID)
			return m.Exchange(ctx, x)
		},
		enrollment: func(ctx context.Context, m *memory.Store, id string) (mdm.Enrollment, error) {
			e, err := m.Enrollment(ctx, id)
			if contact, ok := contacts[id]; ok {
				e.Contact = contact
			}
			return e, err
		},
	}
}
