package enroll

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/enrollkit/enrollkit/jit"
)

const (
	maxStreams   = 5 // of a session, on this node
	writeTime    = 10 * time.Second
	heartbeat    = 15 * time.Second // so that a client that is gone is noticed
	maxStreamAge = time.Hour
)

// streams counts the live streams of this process. A limit is all it is: no other
// node needs it.
type streams struct {
	mu     sync.Mutex
	open   map[[32]byte]int
	done   chan struct{}
	closed bool
}

func newStreams() *streams {
	return &streams{open: map[[32]byte]int{}, done: make(chan struct{})}
}

func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
}

// enter counts a stream, or returns false when the session has too many.
func (s *streams) enter(session [32]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[session] >= maxStreams {
		return false
	}
	s.open[session]++
	return true
}

func (s *streams) leave(session [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[session]--; s.open[session] <= 0 {
		delete(s.open, session)
	}
}

// look returns where the session's own ticket stands. A session that has ended
// and a person who was suspended since are errors.
func (p *Portal) look(ctx context.Context, session [32]byte) (standing, error) {
	s, _, err := p.session(ctx, session)
	if err != nil {
		return standing{}, err
	}
	t, err := p.cfg.Tickets.Ticket(ctx, s.Ticket)
	if err != nil {
		return standing{}, stored("ticket", err)
	}
	return p.standing(t), nil
}

// status tells once where the ticket stands, for pages without a live stream.
func (p *Portal) status(w http.ResponseWriter, r *http.Request) error {
	id, ok := sessionID(cookie(r, p.cookies.session))
	if !ok {
		return ErrNoSession
	}
	s, err := p.look(r.Context(), id)
	if err != nil {
		return ended(err)
	}
	p.json(w, http.StatusOK, s)
	return nil
}

// ended answers 401 where a page would lead to the first one.
func ended(err error) error {
	if errors.Is(err, jit.ErrSuspended) {
		return ErrNoSession
	}
	return err
}

// events is the ticket's story as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html): one event
// "ticket" at each change, until there is nothing more to tell.
func (p *Portal) events(w http.ResponseWriter, r *http.Request) error {
	id, ok := sessionID(cookie(r, p.cookies.session))
	if !ok {
		return ErrNoSession
	}
	now, err := p.look(r.Context(), id)
	if err != nil {
		return ended(err)
	}
	if !p.streams.enter(id) {
		return refuse(CodeTooManyEvents)
	}
	defer p.streams.leave(id)
	out := stream{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies that would wait for more
	ctx, cancel := context.WithTimeout(r.Context(), maxStreamAge)
	defer cancel()
	defer out.limit() //nolint:errcheck // what is left to write is the end, and if that fails nobody is there
	if err := out.tell(now); err != nil {
		return p.gone(ctx, err)
	}
	poll := time.NewTicker(p.cfg.PollInterval)
	defer poll.Stop()
	for last := now; !now.Over; {
		select {
		case <-ctx.Done():
			return nil
		case <-p.streams.done:
			return nil
		case <-poll.C:
		}
		if now, err = p.look(ctx, id); err != nil {
			return p.gone(ctx, err)
		}
		if now.changed(last) {
			last = now
			err = out.tell(now)
		} else {
			err = out.beat()
		}
		if err != nil {
			return p.gone(ctx, err)
		}
	}
	return nil
}

// changed reports whether there is news; that time passes is none.
func (s standing) changed(from standing) bool {
	s.Left, from.Left, s.Problem, from.Problem = 0, 0, nil, nil
	return s != from
}

// gone ends a stream. Its answer has begun, so there is nobody to tell; the
// browser comes back by itself and gets the failure then.
func (p *Portal) gone(ctx context.Context, err error) error {
	p.cfg.Logger.DebugContext(ctx, "enroll: stream ended", "error", err)
	return nil
}

// stream writes events, each with a deadline of its own: the server's
// WriteTimeout is for answers that end, and a client that never reads must not
// hold a goroutine. Between events there is none: HTTP/2 ends a stream when its
// deadline passes, whether something is being written or not, and TLS breaks.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	id      int
	last    time.Time
}

func (s *stream) tell(what standing) error {
	s.id++
	data, err := json.Marshal(what) // holds no line break
	if err != nil {
		return fmt.Errorf("enroll: event: %w", err)
	}
	return s.write(fmt.Sprintf("id: %d\nevent: ticket\ndata: %s\n\n", s.id, data))
}

// beat writes a comment now and then.
func (s *stream) beat() error {
	if time.Since(s.last) < heartbeat {
		return nil
	}
	return s.write(": \n\n")
}

func (s *stream) write(text string) error {
	if err := s.limit(); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	if err := s.control.Flush(); err != nil {
		return err
	}
	return s.deadline(time.Time{})
}

// limit begins the time for one event.
func (s *stream) limit() error {
	s.last = time.Now()
	return s.deadline(s.last.Add(writeTime))
}

func (s *stream) deadline(at time.Time) error {
	if err := s.control.SetWriteDeadline(at); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// toldProblem is a problem in JSON.
type toldProblem struct {
	Code   Code   `json:"code"`
	Title  string `json:"title"`
	Cause  string `json:"cause"`
	Remedy string `json:"remedy"`
}

func told(p Problem) toldProblem { return toldProblem{p.Code, p.Title, p.Cause, p.Remedy} }

func (p *Portal) json(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil { // of our own types: cannot happen
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	send(w, status, "application/json", &b)
}
