package pushtest

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// Fault is a way to misbehave.
type Fault string

// The faults of a Reply.
const (
	// HTML is the page of a proxy instead of APNs's JSON; Status is 502 unless
	// said otherwise.
	HTML Fault = "HTML"
	// Giant is a body of 200 MB; Status is 500 unless said otherwise.
	Giant Fault = "giant body"
	// GoAway closes the connection by a GOAWAY frame that names Reason, and
	// leaves all that is in flight on it without an answer.
	GoAway Fault = "GOAWAY"
	// Silent never answers.
	Silent Fault = "silent"
	// Redirect sends elsewhere, with Status 307 unless said otherwise.
	Redirect Fault = "redirect"
)

const giant = 200 << 20

// Reply is how a push that would be accepted is answered. The zero value accepts
// it.
type Reply struct {
	// Status is the HTTP status; zero is 200, which accepts the push.
	Status int
	// Reason is APNs's word for what is wrong.
	Reason string
	// Timestamp goes with status 410, when not zero.
	Timestamp time.Time
	// RetryAfter is the header of that name, left out when empty.
	RetryAfter string
	// Body replaces APNs's own, when not empty; nothing is delivered then.
	Body string
	// Delay is how long the answer takes.
	Delay time.Duration
	// Fault is what goes wrong besides.
	Fault Fault
}

// Reject makes the server refuse every push, until Script or Accept. timestamp
// goes with status 410, when not zero.
func (s *Server) Reject(status int, reason string, timestamp time.Time) {
	s.Script(func(Push) Reply { return Reply{Status: status, Reason: reason, Timestamp: timestamp} })
}

// Accept makes the server accept every push again.
func (s *Server) Accept() { s.Script(nil) }

// Script makes the server answer each push from now on as script says, which is
// asked for pushes that APNs would find nothing wrong with, possibly several at
// once. Nil accepts all.
func (s *Server) Script(script func(Push) Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

func (s *Server) reply(p Push) Reply {
	s.mu.Lock()
	script := s.script
	s.mu.Unlock()
	if script == nil {
		return Reply{}
	}
	return script(p)
}

// perform answers as the reply says.
func (s *Server) perform(w http.ResponseWriter, r *http.Request, p Push, reply Reply) {
	if reply.Delay > 0 {
		timer := time.NewTimer(reply.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	status := func(otherwise int) int {
		if reply.Status != 0 {
			return reply.Status
		}
		return otherwise
	}
	if reply.RetryAfter != "" {
		w.Header().Set("Retry-After", reply.RetryAfter)
	}
	switch reply.Fault {
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status(http.StatusBadGateway))
		io.WriteString(w, "<!DOCTYPE html><title>Bad Gateway</title><h1>Bad Gateway</h1>") //nolint:errcheck // the client went away, nobody is left to tell
	case Giant:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status(http.StatusInternalServerError))
		io.WriteString(w, `{"reason":"`) //nolint:errcheck // the client gives up on purpose
		chunk := strings.Repeat("x", 64<<10)
		for range giant / len(chunk) {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	case GoAway:
		w.WriteHeader(http.StatusEarlyHints) // so that what begins a connection is out
		goAway(r, reply.Reason)
	case Silent:
		<-r.Context().Done()
	case Redirect:
		http.Redirect(w, r, "/elsewhere", status(http.StatusTemporaryRedirect))
	default:
		if reply.Body != "" {
			w.WriteHeader(status(http.StatusOK))
			io.WriteString(w, reply.Body) //nolint:errcheck // the client went away, nobody is left to tell
			return
		}
		if status(http.StatusOK) != http.StatusOK {
			refuse(w, reply.Status, reply.Reason, reply.Timestamp)
			return
		}
		s.mu.Lock()
		s.pushes = append(s.pushes, p)
		if len(s.pushes) > maxPushes {
			s.pushes = append(s.pushes[:0], s.pushes[len(s.pushes)-maxPushes:]...)
		}
		s.mu.Unlock()
		if s.cfg.Deliver != nil {
			s.cfg.Deliver(p)
		}
	}
}

// refuse answers as APNs does when something is wrong.
func refuse(w http.ResponseWriter, status int, reason string, timestamp time.Time) {
	body := map[string]any{"reason": reason}
	if !timestamp.IsZero() {
		body["timestamp"] = timestamp.UnixMilli()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client went away, nobody is left to tell
}

// goAway ends the request's connection. net/http has no way to say it, so the
// frame (RFC 9113 §6.8) is written beside it: all streams were seen, no error,
// and the reason as debug data. TLS says good-bye then, and TCP stays until the
// client has closed it: a reset could overtake the frame.
func goAway(r *http.Request, reason string) {
	conn, ok := r.Context().Value(connKey{}).(*tls.Conn)
	if !ok {
		return
	}
	debug, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		return
	}
	const frameGoAway, lastStream = 7, 1<<31 - 1
	length := 8 + len(debug)
	frame := []byte{byte(length >> 16), byte(length >> 8), byte(length), frameGoAway, 0, 0, 0, 0, 0}
	frame = binary.BigEndian.AppendUint32(frame, lastStream)
	frame = binary.BigEndian.AppendUint32(frame, 0)
	conn.Write(append(frame, debug...)) //nolint:errcheck // it is closed anyway
	_ = conn.CloseWrite()
	<-r.Context().Done()
}
