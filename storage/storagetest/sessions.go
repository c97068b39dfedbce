package storagetest

import (
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/storage/memory"
)

func session(name string) enroll.Session {
	return enroll.Session{ID: id(name), UserID: "user-" + name, Ticket: "ticket-" + name, Expires: start.Add(time.Hour)}
}

func sessionClauses() []clause[enroll.SessionStore] {
	return []clause[enroll.SessionStore]{
		{name: "a session is found", rule: `Session returns what PutSession recorded, also when it was recorded twice.`, check: sessionsFound},
		{name: "unknown and expired are not", rule: `A session that is unknown, or not in force at now, is ErrNoSession.`, check: sessionsExpired},
		{name: "a session is over at its time", rule: atItsTime, check: sessionsBoundary},
		{name: "a session is replaced", rule: `PutSession of an ID that is there replaces the session.`, check: sessionsReplaced},
		{name: "signing in ends the session before", rule: `PutSession ends the session of old in the same step, so that an
			identifier that someone planted before the sign-in is dead after it (session fixation).`, check: sessionsRotate},
		{name: "no session before is none", rule: `A zero old ends no session.`, check: sessionsZeroOld},
		{name: "times are UTC", rule: timesRule, check: sessionsTimes},
		{name: "text survives", rule: textRule, check: sessionsText},
		{name: "cancelled call changes nothing", rule: `A call whose context is over returns an error and changes nothing.`, check: sessionsCancelled},
		{name: "survives reopening", rule: `PutSession is durable when it returns: nobody is signed out by a restart, and
			what ended stays ended.`, durable: true, check: sessionsReopen},
		crashClause("sessions", sessionScript(), func() enroll.SessionStore { return memory.New() }),
	}
}

func sessionsFound(w *world[enroll.SessionStore]) {
	for range 2 {
		w.ok(w.store.PutSession(w.Context(), session("a"), [32]byte{}), "PutSession")
		s, err := w.store.Session(w.Context(), id("a"), start)
		w.ok(err, "Session")
		w.equal(s, session("a"), "the session")
	}
}

func sessionsExpired(w *world[enroll.SessionStore]) {
	w.ok(w.store.PutSession(w.Context(), session("a"), [32]byte{}), "PutSession")
	_, err := w.store.Session(w.Context(), id("b"), start)
	w.is(err, enroll.ErrNoSession, "an unknown session")
	_, err = w.store.Session(w.Context(), id("a"), start.Add(time.Hour-time.Second))
	w.ok(err, "a session in its last second")
	s, err := w.store.Session(w.Context(), id("a"), start.Add(time.Hour+time.Second))
	w.is(err, enroll.ErrNoSession, "an expired session")
	w.equal(s, enroll.Session{}, "what comes with ErrNoSession")
}

func sessionsBoundary(w *world[enroll.SessionStore]) {
	w.ok(w.store.PutSession(w.Context(), session("a"), [32]byte{}), "PutSession")
	_, err := w.store.Session(w.Context(), id("a"), start.Add(time.Hour-time.Microsecond))
	w.ok(err, "a session in its last microsecond")
	_, err = w.store.Session(w.Context(), id("a"), start.Add(time.Hour))
	w.is(err, enroll.ErrNoSession, "a session at the time when it expires")
}

func sessionsReplaced(w *world[enroll.SessionStore]) {
	w.ok(w.store.PutSession(w.Context(), session("a"), [32]byte{}), "PutSession")
	later := session("a")
	later.UserID, later.Ticket, later.Expires = "", "another", start.Add(2*time.Hour)
	w.ok(w.store.PutSession(w.Context(), later, [32]byte{}), "PutSession again")
	s, err := w.store.Session(w.Context(), id("a"), start)
	w.ok(err, "Session")
	w.equal(s, later, "the session")
	w.ok(w.store.PutSession(w.Context(), session("a"), id("a")), "PutSession with itself as the session before")
	s, err = w.store.Session(w.Context(), id("a"), start)
	w.ok(err, "Session")
	w.equal(s, session("a"), "the session")
}

func sessionsRotate(w *world[enroll.SessionStore]) {
	w.ok(w.store.PutSession(w.Context(), session("before"), [32]byte{}), "PutSession")
	w.ok(w.store.PutSession(w.Context(), session("other"), [32]byte{}), "PutSession")
	for range 2 {
		w.ok(w.store.PutSession(w.Context(), session("after"), id("before")), "PutSession")
		_, err := w.store.Session(w.Context(), id("before"), start)
		w.is(err, enroll.ErrNoSession, "the session before the sign-in")
	}
	for _, name := range []string{"after", "other"} {
		s, err := w.store.Session(w.Context(), id(name), start)
		w.ok(err, "Session")
		w.equal(s, session(name), "the session")
	}
}

func sessionsZeroOld(w *world[enroll.SessionStore]) {
	w.ok(w.store.PutSession(w.Context(), session("a"), [32]byte{}), "PutSession")
	w.ok(w.store.PutSession(w.Context(), session("b"), [32]byte{}), "PutSession")
	w.ok(w.store.PutSession(w.Context(), session("c"), id("unknown")), "PutSession with an unknown session before")
	for _, name := range []string{"a", "b", "c"} {
		_, err := w.store.Session(w.Context(), id(name), start)
		w.ok(err, "Session")
	}
}

func sessionsTimes(w *world[enroll.SessionStore]) {
	for _, at := range oddTimes() {
		s := session("a")
		s.Expires = at
		w.ok(w.store.PutSession(w.Context(), s, [32]byte{}), "PutSession")
		got, err := w.store.Session(w.Context(), id("a"), at.Add(-time.Second))
		w.ok(err, "Session")
		w.sameTime(got.Expires, at, "Expires")
	}
}

func sessionsText(w *world[enroll.SessionStore]) {
	for _, text := range append(oddTexts(36), strings.Repeat("i", 36)) {
		s := session("a")
		s.UserID, s.Ticket = text, text
		w.ok(w.store.PutSession(w.Context(), s, [32]byte{}), "PutSession")
		got, err := w.store.Session(w.Context(), id("a"), start)
		w.ok(err, "Session")
		w.equal(got, s, "the session")
	}
}

func sessionsCancelled(w *world[enroll.SessionStore]) {
	w.ok(w.store.PutSession(w.Context(), session("a"), [32]byte{}), "PutSession")
	w.truth(w.store.PutSession(w.gone(), session("b"), id("a")) != nil, "PutSession succeeds when its context is over")
	_, err := w.store.Session(w.Context(), id("a"), start)
	w.ok(err, "the session that a failed call was to end")
	_, err = w.store.Session(w.Context(), id("b"), start)
	w.is(err, enroll.ErrNoSession, "the session that a failed call was to record")
	_, err = w.store.Session(w.gone(), id("a"), start)
	w.truth(err != nil, "Session succeeds when its context is over")
}

func sessionsReopen(w *world[enroll.SessionStore]) {
	w.ok(w.store.PutSession(w.Context(), session("before"), [32]byte{}), "PutSession")
	w.ok(w.store.PutSession(w.Context(), session("after"), id("before")), "PutSession")
	w.reopen()
	_, err := w.store.Session(w.Context(), id("before"), start)
	w.is(err, enroll.ErrNoSession, "the session before, after reopening")
	s, err := w.store.Session(w.Context(), id("after"), start)
	w.ok(err, "Session after reopening")
	w.equal(s, session("after"), "the session after reopening")
}
