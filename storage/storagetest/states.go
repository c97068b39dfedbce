package storagetest

import (
	"time"

	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/storage/memory"
)

func stateClauses() []clause[sso.StateStore] {
	return []clause[sso.StateStore]{
		{name: "an attempt is finished once", rule: `ConsumeState ends an attempt; again it is ErrStateUsed: a callback that
			is replayed must not sign in a second time.`, check: statesOnce},
		{name: "unknown and expired are refused", rule: `ConsumeState of an attempt that was not opened, or has expired, is
			ErrStateUsed.`, check: statesExpired},
		{name: "an attempt is over at its time", rule: atItsTime, check: statesBoundary},
		{name: "opening repeats", rule: `OpenState of an open attempt again changes nothing that matters: it is still
			finished once.`, check: statesRepeat},
		{name: "a late opening reopens nothing", rule: `OpenState of an attempt that was finished leaves it so, without an
			error: or a repeat that comes late would let a used callback in once more.`, check: statesLate},
		{name: "attempts do not touch each other", rule: `An attempt is named by all 32 bytes of its key.`, check: statesApart},
		{name: "concurrent callbacks finish one", rule: `Exactly one of any number of concurrent ConsumeState calls returns
			nil, on any node.`, check: statesRace},
		{name: "cancelled call changes nothing", rule: `A call whose context is over returns an error and changes nothing.`, check: statesCancelled},
		{name: "survives reopening", rule: `OpenState and ConsumeState are durable when they return: a person who signs in
			while the server restarts gets through, and a used callback stays used.`, durable: true, check: statesReopen},
		crashClause("states", stateScript(), func() sso.StateStore { return memory.New() }),
	}
}

func statesOnce(w *world[sso.StateStore]) {
	w.ok(w.store.OpenState(w.Context(), id("a"), start.Add(10*time.Minute)), "OpenState")
	w.ok(w.store.ConsumeState(w.Context(), id("a"), start), "ConsumeState")
	for range 2 {
		w.is(w.store.ConsumeState(w.Context(), id("a"), start), sso.ErrStateUsed, "ConsumeState again")
	}
}

func statesExpired(w *world[sso.StateStore]) {
	w.is(w.store.ConsumeState(w.Context(), id("unknown"), start), sso.ErrStateUsed, "an attempt that was never opened")
	w.ok(w.store.OpenState(w.Context(), id("a"), start.Add(10*time.Minute)), "OpenState")
	w.is(w.store.ConsumeState(w.Context(), id("a"), start.Add(10*time.Minute+time.Second)), sso.ErrStateUsed, "an expired attempt")
	w.ok(w.store.OpenState(w.Context(), id("b"), start.Add(10*time.Minute).In(time.FixedZone("", -7*3600))), "OpenState")
	w.ok(w.store.ConsumeState(w.Context(), id("b"), start.Add(10*time.Minute-time.Second)), "an attempt in its last second, in another zone")
}

func statesBoundary(w *world[sso.StateStore]) {
	for _, name := range []string{"a", "b"} {
		w.ok(w.store.OpenState(w.Context(), id(name), start.Add(time.Minute)), "OpenState")
	}
	w.ok(w.store.ConsumeState(w.Context(), id("a"), start.Add(time.Minute-time.Microsecond)), "an attempt in its last microsecond")
	w.is(w.store.ConsumeState(w.Context(), id("b"), start.Add(time.Minute)), sso.ErrStateUsed, "an attempt at the time when it expires")
}

func statesLate(w *world[sso.StateStore]) {
	w.ok(w.store.OpenState(w.Context(), id("a"), start.Add(time.Minute)), "OpenState")
	w.ok(w.store.ConsumeState(w.Context(), id("a"), start), "ConsumeState")
	for _, expires := range []time.Time{start.Add(time.Minute), start.Add(time.Hour)} {
		w.ok(w.store.OpenState(w.Context(), id("a"), expires), "OpenState of a finished attempt")
		w.is(w.store.ConsumeState(w.Context(), id("a"), start), sso.ErrStateUsed, "ConsumeState after a late OpenState")
	}
}

func statesRepeat(w *world[sso.StateStore]) {
	for range 2 {
		w.ok(w.store.OpenState(w.Context(), id("a"), start.Add(time.Minute)), "OpenState")
	}
	w.ok(w.store.ConsumeState(w.Context(), id("a"), start), "ConsumeState")
	w.is(w.store.ConsumeState(w.Context(), id("a"), start), sso.ErrStateUsed, "ConsumeState again")
}

func statesApart(w *world[sso.StateStore]) {
	a := id("a")
	b := a
	b[31] ^= 1
	zeros := [32]byte{31: 1}
	for _, key := range [][32]byte{a, b, zeros} {
		w.ok(w.store.OpenState(w.Context(), key, start.Add(time.Minute)), "OpenState")
	}
	w.is(w.store.ConsumeState(w.Context(), [32]byte{30: 1}, start), sso.ErrStateUsed, "a key that differs in its last bytes")
	for _, key := range [][32]byte{b, a, zeros} {
		w.ok(w.store.ConsumeState(w.Context(), key, start), "ConsumeState")
	}
}

func statesRace(w *world[sso.StateStore]) {
	nodes := []sso.StateStore{w.store, w.second()}
	for round := range 8 {
		key := id(string(rune('a' + round)))
		w.ok(w.store.OpenState(w.Context(), key, start.Add(time.Minute)), "OpenState")
		errs := together(8, func(i int) error { return nodes[i%2].ConsumeState(w.Context(), key, start) })
		w.only(errs, sso.ErrStateUsed, "ConsumeState")
	}
}

func statesCancelled(w *world[sso.StateStore]) {
	w.truth(w.store.OpenState(w.gone(), id("a"), start.Add(time.Minute)) != nil, "OpenState succeeds when its context is over")
	w.is(w.store.ConsumeState(w.Context(), id("a"), start), sso.ErrStateUsed, "an attempt whose opening failed")
	w.ok(w.store.OpenState(w.Context(), id("b"), start.Add(time.Minute)), "OpenState")
	w.truth(w.store.ConsumeState(w.gone(), id("b"), start) != nil, "ConsumeState succeeds when its context is over")
	w.ok(w.store.ConsumeState(w.Context(), id("b"), start), "ConsumeState after one that failed")
}

func statesReopen(w *world[sso.StateStore]) {
	w.ok(w.store.OpenState(w.Context(), id("open"), start.Add(time.Minute)), "OpenState")
	w.ok(w.store.OpenState(w.Context(), id("used"), start.Add(time.Minute)), "OpenState")
	w.ok(w.store.ConsumeState(w.Context(), id("used"), start), "ConsumeState")
	w.reopen()
	w.is(w.store.ConsumeState(w.Context(), id("used"), start), sso.ErrStateUsed, "a used attempt after reopening")
	w.ok(w.store.ConsumeState(w.Context(), id("open"), start), "an open attempt after reopening")
}
