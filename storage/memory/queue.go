package memory

import (
	"bytes"
	"cmp"
	"container/list"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// commands is the queue of one enrollment. The next command is found without
// looking at the others, however many there are.
type commands struct {
	byUUID  map[string]*queued
	waiting list.List // of *queued that may be sent now, in their order
	// held were answered NotNow in this session.
	held map[*queued]bool
	last *queued // was sent last
}

// queued is a command with its place in the queue.
type queued struct {
	mdm.Command
	order int
	at    *list.Element // of commands.waiting, or nil
}

func (c *queued) place() int { return c.order }

func (c *queued) final() bool {
	switch c.Status {
	case mdm.CommandQueued, mdm.CommandSent, mdm.CommandNotNow:
		return false
	default:
		return true
	}
}

// value is the command for a caller to keep.
func (c *queued) value() *mdm.Command {
	v := c.Command
	v.Payload, v.Result = bytes.Clone(c.Payload), bytes.Clone(c.Result)
	return &v
}

// add queues a command and reports whether it is new.
func (s *Store) add(e *enrollment, c mdm.Command) bool {
	if e.queue.byUUID[c.UUID] != nil {
		return false
	}
	q := &queued{Command: mdm.Command{
		UUID: c.UUID, EnrollmentID: e.ID, RequestType: c.RequestType, Payload: bytes.Clone(c.Payload),
		Status: mdm.CommandQueued, Queued: stamp(c.Queued), Updated: stamp(c.Queued),
	}}
	s.appendCommand(e, q)
	q.at = e.queue.waiting.PushBack(q)
	return true
}

// appendCommand puts a command behind all others.
func (s *Store) appendCommand(e *enrollment, q *queued) {
	if e.queue.byUUID == nil {
		e.queue.byUUID, e.queue.held = map[string]*queued{}, map[*queued]bool{}
	}
	q.order = after(s.queue, (*queued).place)
	e.queue.byUUID[q.UUID] = q
	s.queue = append(s.queue, q)
}

// Enqueue implements mdm.Store.
func (s *Store) Enqueue(ctx context.Context, added ...mdm.Command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, c := range added {
		if e := s.enrollments[c.EnrollmentID]; e == nil || e.State != mdm.StateEnrolled {
			return mdm.ErrUnknownEnrollment
		}
	}
	for _, c := range added {
		e := s.enrollments[c.EnrollmentID]
		if s.add(e, c) {
			s.ask(e, stamp(c.Queued))
		}
	}
	return nil
}

// Exchange implements mdm.Store.
func (s *Store) Exchange(ctx context.Context, x mdm.ExchangeStep) (mdm.Exchanged, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return mdm.Exchanged{}, err
	}
	_, e, err := s.device(sender{x.Certificate, x.EnrollmentID, x.Device, x.Bearer, stamp(x.At)})
	if err != nil {
		return mdm.Exchanged{}, err
	}
	s.came(e, x.Bearer)
	at := stamp(x.At)
	e.seen(at)
	var out mdm.Exchanged
	if x.Idle {
		e.queue.offerHeld()
	} else if c := e.queue.report(x, at); c != nil {
		out.Reported = c.value()
	}
	if c := e.queue.next(at); c != nil {
		out.Next = c.value()
	} else if len(e.queue.held) > 0 && x.NotNowRetry > 0 && x.Status != mdm.CommandNotNow {
		s.ask(e, stamp(at.Add(x.NotNowRetry)))
	}
	return out, nil
}

// report records what a device says about a command and returns it, or nil when
// nothing changes.
func (q *commands) report(x mdm.ExchangeStep, at time.Time) *queued {
	c := q.byUUID[x.CommandUUID]
	if x.CommandUUID == "" && x.Status == mdm.CommandFormatError && q.last != nil && q.last.Status == mdm.CommandSent {
		c = q.last
	}
	if c == nil || c.final() {
		return nil
	}
	switch x.Status {
	case mdm.CommandNotNow:
		if q.held[c] {
			return nil
		}
		q.held[c] = true
	case mdm.CommandAcknowledged, mdm.CommandError, mdm.CommandFormatError:
		delete(q.held, c)
	default:
		return nil
	}
	c.Status, c.Result, c.Updated = x.Status, bytes.Clone(x.Result), at
	if c.at != nil {
		q.waiting.Remove(c.at)
		c.at = nil
	}
	return c
}

// next marks the first command that may be sent now as sent.
func (q *commands) next(at time.Time) *queued {
	front := q.waiting.Front()
	if front == nil {
		return nil
	}
	c, _ := front.Value.(*queued)
	if c.Status != mdm.CommandSent {
		c.Status, c.Updated = mdm.CommandSent, at
	}
	q.last = c
	return c
}

// offerHeld starts a session: what was answered NotNow is offered again, each in
// its place.
func (q *commands) offerHeld() {
	held := slices.SortedFunc(maps.Keys(q.held), func(a, b *queued) int { return cmp.Compare(a.order, b.order) })
	behind := q.waiting.Front()
	for _, c := range held {
		for behind != nil && behind.Value.(*queued).order < c.order { //nolint:forcetypeassert // nothing else is put there
			behind = behind.Next()
		}
		if behind == nil {
			c.at = q.waiting.PushBack(c)
		} else {
			c.at = q.waiting.InsertBefore(c, behind)
		}
	}
	clear(q.held)
}

// cancel ends every command that was not answered.
func (q *commands) cancel(at time.Time) {
	for _, c := range q.byUUID {
		if !c.final() {
			c.Status, c.Updated = mdm.CommandCancelled, at
		}
		c.at = nil
	}
	q.waiting.Init()
	clear(q.held)
}
