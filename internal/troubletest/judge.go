package troubletest

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
)

// Refuses fails unless each of the requests, or each there is when none is named,
// is answered 503 with Retry-After, for an error whose text has says, and has
// changed nothing.
func (w *World) Refuses(says string, requests ...string) {
	w.t.Helper()
	if len(requests) == 0 {
		requests = Requests
	}
	for _, name := range requests {
		w.refused(name, says, w.ask(name))
		w.unchanged(name)
	}
}

// Survives sends every request. Each is either refused, as Refuses says, or
// answered, and then it has happened. Those that are named must be refused.
func (w *World) Survives(says string, refused ...string) {
	w.t.Helper()
	for _, name := range Requests {
		a := w.ask(name)
		if a.Code == http.StatusServiceUnavailable || slices.Contains(refused, name) {
			w.refused(name, says, a)
			w.unchanged(name)
			continue
		}
		w.answered(name, a)
		w.note()
	}
}

// InFlight sends a request, and calls strike while it is on its way. It is to be
// refused as Refuses says.
func (w *World) InFlight(request, says string, strike func()) {
	w.t.Helper()
	a := w.during(request, strike)
	w.refused(request, says, a)
	w.unchanged(request)
}

// Absorbs sends a request, and calls strike while it is on its way, which it does
// not suffer from.
func (w *World) Absorbs(request string, strike func()) {
	w.t.Helper()
	w.answered(request, w.during(request, strike))
	w.note()
}

func (w *World) during(request string, strike func()) answer {
	answers := make(chan answer, 1)
	go func() { answers <- w.ask(request) }()
	strike()
	return <-answers
}

// Ask sends a request that nobody judges.
func (w *World) Ask(request string) (status int, failure error) {
	a := w.ask(request)
	return a.Code, a.failure
}

// Heals fails unless nothing was lost, nothing that was refused has happened, and
// every request is answered now, and again when it is repeated.
func (w *World) Heals() {
	w.t.Helper()
	w.unchanged("all that was refused")
	for range 2 {
		for _, name := range Requests {
			w.answered(name, w.ask(name))
		}
	}
	w.arrived()
	w.note()
}

// refused judges an answer to a request that could not be served.
func (w *World) refused(name, says string, a answer) {
	w.t.Helper()
	if a.Code != http.StatusServiceUnavailable || a.Header().Get("Retry-After") == "" {
		w.t.Fatalf("%s: answered %d with Retry-After %q, not 503: %v", name, a.Code, a.Header().Get("Retry-After"), a.failure)
	}
	if a.failure == nil || !strings.Contains(a.failure.Error(), says) {
		w.t.Fatalf("%s: the error does not say %q: %v", name, says, a.failure)
	}
	w.t.Logf("%s: 503, Retry-After: %s: %v", name, a.Header().Get("Retry-After"), a.failure)
}

// answered judges an answer to a request that was served.
func (w *World) answered(name string, a answer) {
	w.t.Helper()
	want := http.StatusOK
	if name == SignIn {
		want = http.StatusSeeOther
	}
	if a.Code != want {
		w.t.Fatalf("%s: answered %d, not %d: %v", name, a.Code, want, a.failure)
	}
	if (name == Idle || name == Again) && !strings.Contains(a.Body.String(), planned(enrollmentID(name))) {
		w.t.Fatalf("%s: the command is not in the answer", name)
	}
}

// note takes what there is for what was acknowledged.
func (w *World) note() {
	w.t.Helper()
	var err error
	w.noted, err = w.store.State(w.t.Context())
	w.ok(err)
}

// unchanged fails when there is something else than what was acknowledged. While
// the store cannot be read nobody sees a difference; and nobody ever sees a SignIn
// that was refused and happened, since State has no sign-in attempts.
func (w *World) unchanged(after string) {
	w.t.Helper()
	state, err := w.store.State(w.t.Context())
	if err != nil {
		return
	}
	if !reflect.DeepEqual(w.noted, state) {
		w.t.Fatalf("after %s there is something else than what was acknowledged:\n%+v\nand there was\n%+v", after, summary(state), summary(w.noted))
	}
}

// arrived fails unless every phone is where its request leads.
func (w *World) arrived() {
	w.t.Helper()
	state, err := w.store.State(w.t.Context())
	w.ok(err)
	got := summary(state)
	for _, want := range []string{
		"E-Authenticate " + string(mdm.StateAuthenticated), "E-TokenUpdate " + string(mdm.StateEnrolled), "E-CheckOut " + string(mdm.StateEnded),
		planned("E-TokenUpdate") + " " + string(mdm.CommandQueued), planned("E-Idle") + " " + string(mdm.CommandSent), planned("E-Again") + " " + string(mdm.CommandSent),
		planned("E-Report") + " " + string(mdm.CommandAcknowledged), planned("E-CheckOut") + " " + string(mdm.CommandCancelled),
	} {
		if !slices.Contains(got, want) {
			w.t.Fatalf("there is no %s among %v", want, got)
		}
	}
	for _, c := range state.Commands {
		if c.UUID == w.command && !strings.Contains(string(c.Result), w.result) {
			w.t.Fatal("the result that was acknowledged is not there")
		}
	}
}

// summary names enrollments and commands with their states.
func summary(s storage.State) (list []string) {
	for _, e := range s.Enrollments {
		list = append(list, e.ID+" "+string(e.State))
	}
	for _, c := range s.Commands {
		list = append(list, c.UUID+" "+string(c.Status))
	}
	return list
}

// Is fails unless a request is refused, as Refuses says, with an error of a kind.
func (w *World) Is(kind error, request string) {
	w.t.Helper()
	a := w.ask(request)
	w.refused(request, "", a)
	w.unchanged(request)
	if !errors.Is(a.failure, kind) {
		w.t.Fatalf("%s: %v is no %v", request, a.failure, kind)
	}
}
