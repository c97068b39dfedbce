package transfertest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// recorder fails without its test.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Errorf(format string, args ...any) { r.failure += fmt.Sprintf(format, args...) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failure is why a move fails.
func failure(t *testing.T, from, to Adapter, c clause) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { // which Fatalf ends
		defer close(done)
		c.check(moving(r, from, to))
	}()
	<-done
	return r.failure
}

// changed is a memory store that changes what is exported or imported.
type changed struct {
	*memory.Store
	exported, imported func(transfer.Record)
}

func (c changed) ExportPage(ctx context.Context, kind transfer.Kind, after string, limit int) ([]transfer.Entry, error) {
	list, err := c.Store.ExportPage(ctx, kind, after, limit)
	for _, e := range list {
		c.exported(e.Record)
	}
	return list, err
}

func (c changed) ImportBatch(ctx context.Context, records []transfer.Record) (int, error) {
	for _, r := range records {
		c.imported(r)
	}
	return c.Store.ImportBatch(ctx, records)
}

func changing(exported, imported func(transfer.Record)) Adapter {
	return Adapter{Name: "changing", Volatile: true, Open: func(string) (Store, error) {
		return changed{memory.New(), exported, imported}, nil
	}}
}

func nothing(transfer.Record) {}

// on changes records of one type.
func on[R transfer.Record](change func(R)) func(transfer.Record) {
	return func(r transfer.Record) {
		if r, ok := r.(R); ok {
			change(r)
		}
	}
}

// losses are what an adapter may forget.
func losses() map[string]func(transfer.Record) {
	never := time.Time{}
	return map[string]func(transfer.Record){
		"groups":             on(func(u *transfer.User) { u.Groups = nil }),
		"a suspended person": on(func(u *transfer.User) { u.Suspended = false }),
		"a suspended owner":  on(func(s *transfer.Suspension) { s.UserID += "?" }),
		"a session":          on(func(s *transfer.Session) { s.Expires = never }),
		"whose session":      on(func(s *transfer.Session) { s.UserID = "" }),
		"a used web session": on(func(s *transfer.WebSession) { s.ID[0] ^= 1 }),
		"a ticket's session": on(func(k *transfer.Ticket) { k.Session = [32]byte{} }),
		"downloads": on(func(k *transfer.Ticket) {
			k.Downloads = max(0, len(k.Challenges)-1)
			k.Challenges = k.Challenges[:k.Downloads]
		}),
		"issued": on(func(k *transfer.Ticket) { k.Issued = k.Issued.Add(time.Hour) }),
		"a challenge's time": on(func(k *transfer.Ticket) {
			each(k.Challenges, func(c *transfer.Challenge) { c.Expires = c.Expires.Add(time.Hour) })
		}),
		"a void challenge": on(func(k *transfer.Ticket) { each(k.Challenges, func(c *transfer.Challenge) { c.Void = false }) }),
		"a redeemed one": on(func(k *transfer.Ticket) {
			each(k.Challenges, func(c *transfer.Challenge) { c.Redeemed, c.Key, c.Certificate = false, [32]byte{}, nil })
		}),
		"whose challenge": on(func(k *transfer.Ticket) { each(k.Challenges, func(c *transfer.Challenge) { c.Key = [32]byte{} }) }),
		"a certificate":   on(func(k *transfer.Ticket) { each(k.Challenges, func(c *transfer.Challenge) { c.Certificate = nil }) }),
		"a deadline": on(func(k *transfer.Ticket) {
			each(k.Identities, func(i *transfer.Identity) { i.Deadline = i.Deadline.Add(time.Hour) })
		}),
		"a replaced identity": on(func(k *transfer.Ticket) { each(k.Identities, func(i *transfer.Identity) { i.Replaced = false }) }),
		"a push token":        on(func(e *transfer.Enrollment) { e.Token, e.PushMagic, e.TokenStored = nil, "", never }),
		"a magic":             on(func(e *transfer.Enrollment) { e.PushMagic = "" }),
		"a request":           on(func(e *transfer.Enrollment) { e.Push.Settled, e.Push.Due = e.Push.Request, never }),
		"when it is due": on(func(e *transfer.Enrollment) {
			if !e.Push.Due.IsZero() {
				e.Push.Due = start
			}
		}),
		"a lease":             on(func(e *transfer.Enrollment) { e.Push.Fixed = false }),
		"attempts":            on(func(e *transfer.Enrollment) { e.Push.Attempt = 0 }),
		"the last attempt":    on(func(e *transfer.Enrollment) { e.Push.Status, e.Push.Attempted = 0, never }),
		"numbers of requests": on(func(e *transfer.Enrollment) { e.Push.Request -= e.Push.Settled; e.Push.Settled = 0 }),
		"a revoked grant":     on(func(g *transfer.Grant) { g.Revoked = false }),
		"a code": on(func(g *transfer.Grant) {
			if g.Code != nil {
				g.Code.Expires = never
			}
		}),
		"a redeemed code": on(func(g *transfer.Grant) {
			if g.Redeemed && g.TicketID == "t-with a stolen code" {
				g.Redeemed, g.Revoked, g.Generations = false, false, nil
			}
		}),
		"a client": on(func(g *transfer.Grant) {
			if g.Code != nil {
				g.Code.ClientID = ""
			}
		}),
		"a redirect URI": on(func(g *transfer.Grant) {
			if g.Code != nil {
				g.Code.RedirectURI = ""
			}
		}),
		"an access token":   on(func(g *transfer.Grant) { each(g.Generations, func(k *transfer.Generation) { k.Access[0] ^= 1 }) }),
		"how long it lives": on(func(g *transfer.Grant) { each(g.Generations, func(k *transfer.Generation) { k.AccessExpires = never }) }),
		"a refresh token":   on(func(g *transfer.Grant) { each(g.Generations, func(k *transfer.Generation) { k.Refresh = [32]byte{} }) }),
		"a used token":      on(func(g *transfer.Grant) { each(g.Generations, func(k *transfer.Generation) { k.Used = false }) }),
		"former tokens":     on(func(g *transfer.Grant) { g.Generations = slices.Delete(g.Generations, 0, max(0, len(g.Generations)-1)) }),
		"whose grant": on(func(g *transfer.Grant) {
			if g.TicketID != "" {
				g.EnrollmentID = ""
			}
		}),
		"a grant's ticket": on(func(g *transfer.Grant) {
			if g.EnrollmentID != "" {
				g.TicketID = ""
			}
		}),
		"a payload": on(func(c *transfer.Command) { c.Payload = nil }),
		"a result":  on(func(c *transfer.Command) { c.Result = nil }),
		"a NotNow":  on(func(c *transfer.Command) { c.Held = false }),
		"what was sent": on(func(c *transfer.Command) {
			if c.Status == "Sent" {
				c.Status = "Queued"
			}
		}),
	}
}

func each[T any](list []T, change func(*T)) {
	for i := range list {
		change(&list[i])
	}
}

// TestLossesShow has adapters that forget something, when they are left and when
// they are entered. In the first case only what devices are answered can tell.
func TestLossesShow(t *testing.T) {
	named := clauses()
	everything, goesOn := named[0], named[2]
	for what, loss := range losses() {
		t.Run(what, func(t *testing.T) {
			require.NotEmpty(t, failure(t, Memory(), changing(nothing, loss), everything), "on import")
			require.Contains(t, failure(t, changing(loss, nothing), Memory(), goesOn), "after ", "on export")
		})
	}
	for _, c := range named {
		require.Empty(t, failure(t, changing(nothing, nothing), changing(nothing, nothing), c))
	}
}

// forgetful is a sink that imports in another order, says that it added more than
// it did, or takes things twice.
type forgetful struct {
	*memory.Store
	reorder, boast, lazy bool
}

func (f forgetful) ImportBatch(ctx context.Context, records []transfer.Record) (int, error) {
	if f.reorder && records[0].Kind() == records[len(records)-1].Kind() {
		slices.Reverse(records)
	}
	n, err := f.Store.ImportBatch(ctx, records)
	switch {
	case f.boast:
		n = len(records)
	case f.lazy && n == 0:
		err = transfer.ErrConflict // what is there is an error
	}
	return n, err
}

func TestOrderAndRepeatsShow(t *testing.T) {
	everything := clauses()[0]
	for what, f := range map[string]forgetful{"order": {reorder: true}, "counts": {boast: true}, "a repeat": {lazy: true}} {
		a := Adapter{Name: what, Volatile: true, Open: func(string) (Store, error) {
			f.Store = memory.New()
			return f, nil
		}}
		require.NotEmpty(t, failure(t, Memory(), a, everything), what)
	}
}
