package storagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// seedVariable is how a history is run again.
const seedVariable = "STORAGETEST_SEED"

// perHistory is how many steps a history has before a fresh store is used.
const perHistory = 250

func historyClauses() []clause[Devices] {
	return []clause[Devices]{{
		name: "random histories", check: checkHistories,
		rule: `Whatever steps come in whatever order, an adapter answers as storage/memory does, and stores the same.`,
	}}
}

func checkHistories(w *world[Devices]) {
	eachHistory(w, func(h *history) func() { return h.step })
}

// eachHistory runs random histories. begin is given a history with its stores
// and returns what does one step of it.
func eachHistory(w *world[Devices], begin func(*history) (step func())) {
	w.Helper()
	steps := w.suite.Steps
	if steps == 0 {
		steps = 3000
		if testing.Testing() && testing.Short() {
			steps = 500
		}
	}
	seed := rand.Uint64()
	if given := os.Getenv(seedVariable); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			w.fail("%s is no seed: %v", seedVariable, err)
		}
	}
	w.Logf("histories of %d steps in all: run them again with %s=%d", steps, seedVariable, seed)
	place := w.place
	for n := 0; steps > 0; n++ {
		h := &history{
			story: tell(w), rng: rand.New(rand.NewPCG(seed, uint64(n))), //nolint:gosec // to be repeated, not secret
			ref: memory.New(), now: start,
			ways: map[string]mdm.Way{}, of: map[string]string{}, keys: map[string]string{}, sent: map[string]string{},
		}
		step := begin(h)
		for range min(steps, perHistory) {
			step()
		}
		if steps -= perHistory; steps > 0 {
			w.closeAll()
			w.place = fmt.Sprint(place, "/history", n+1)
			w.ok(os.Mkdir(w.place, 0o700), "a place for the next history")
			w.store = w.node()
		}
	}
}

// history is a random history, told to a reference and to the store.
type history struct {
	*story
	ref Devices
	rng *rand.Rand
	now time.Time
	log []string

	tickets, challenges []string
	ways                map[string]mdm.Way // of tickets
	of                  map[string]string  // the ticket of a challenge
	keys                map[string]string  // by challenge: who presented it last
	certificates        []device           // that no Authenticate was accepted for
	devices             []device           // as they are stored
	sent                map[string]string  // by EnrollmentID: the command sent last
	reported            string             // the command reported last
	claimed             []claimPair
	straight            bool // chance has no say in what comes next
}

// device is who sends a step.
type device struct {
	certificate  [32]byte
	enrollmentID string
	udid         bool
}

// claimPair is the same claim of both stores, whose requests are numbered in
// their own ways.
type claimPair struct{ ref, got push.Target }

// oneOf chooses.
func oneOf[T any](h *history, list ...T) T { return list[h.rng.IntN(len(list))] }

// recent chooses, the later ones rather.
func recent[T any](h *history, list []T) (T, bool) {
	if len(list) == 0 {
		var none T
		return none, false
	}
	from := 0
	if h.straight {
		from = len(list) - 1
	} else if h.rng.IntN(3) > 0 {
		from = max(0, len(list)-4)
	}
	return list[from+h.rng.IntN(len(list)-from)], true
}

func (h *history) chance(percent int) bool { return h.rng.IntN(100) < percent && !h.straight }

// step does one step and compares.
func (h *history) step() {
	h.Helper()
	h.now = h.now.Add(time.Duration(h.rng.IntN(20)) * time.Second)
	if h.chance(3) {
		h.now = h.now.Add(time.Duration(h.rng.IntN(30)) * time.Minute)
	}
	if h.chance(1) {
		h.now = h.now.AddDate(0, 0, 1)
	}
	if h.chance(1) && !h.suite.Volatile {
		h.log = append(h.log, "reopen")
		h.reopen()
		h.s = h.store
	}
	steps := []struct {
		weight int
		do     func()
	}{
		{6, h.issue}, {8, h.download}, {3, h.lookup}, {8, h.identify}, {8, h.authenticate}, {8, h.tokenUpdate}, {4, h.newcomer},
		{1, h.checkOut}, {1, h.unenroll}, {2, h.suspend}, {5, h.enqueue}, {35, h.exchange}, {6, h.claim}, {6, h.settleOne}, {3, h.read}, {1, h.prune},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := h.rng.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			s.do()
			return
		}
	}
}

// do gives a step to both stores and compares what they answer and store.
func (h *history) do(what string, step func(Devices) (any, error)) {
	h.Helper()
	h.log = append(h.log, h.now.Format(time.TimeOnly)+" "+what)
	want, wantErr := step(h.ref)
	got, gotErr := step(h.s)
	h.compare("the error", class(gotErr), class(wantErr))
	h.compare("the answer", got, want)
	h.compareState()
}

func (h *history) compareState() {
	h.Helper()
	want, err := h.ref.State(h.ctx)
	h.ok(err, "State of the reference")
	got := h.state()
	h.devices = h.devices[:0]
	for _, e := range want.Enrollments {
		if e.State != mdm.StateReplaced && (e.State != mdm.StateEnded || h.chance(10)) {
			h.devices = append(h.devices, device{e.Certificate, e.ID, e.Way.Mode() == mdm.ModeDevice})
		}
	}
	h.compare("what is stored: tickets", got.Tickets, want.Tickets)
	h.compare("what is stored: enrollments", withoutContacts(got.Enrollments), withoutContacts(want.Enrollments))
	h.compare("what is stored: commands", got.Commands, want.Commands)
	h.compare("what is stored: pushes", sortedPushes(got.Pushes), sortedPushes(want.Pushes))
}

func (h *history) compare(what string, got, want any) {
	h.Helper()
	if !same(got, want) {
		h.fail("%s differs from the reference:\n got  %s\n want %s\nThe last steps, of %d:\n  %s",
			what, show(got), show(want), len(h.log), strings.Join(h.log[max(0, len(h.log)-25):], "\n  "))
	}
}

// When a contact is noted is up to the adapter, see "an Idle with nothing to do".
func withoutContacts(list []mdm.Enrollment) []mdm.Enrollment {
	list = slices.Clone(list)
	for i := range list {
		list[i] = withoutContact(list[i])
	}
	return list
}

// Attempts at the same time have no order.
func sortedPushes(list []storage.Push) []storage.Push {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b storage.Push) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.EnrollmentID, b.EnrollmentID)
	})
	return list
}

// class is the error that the contract names, or that there is another one.
func class(err error) string {
	for _, named := range []error{
		enroll.ErrUnknownTicket, enroll.ErrTicketExpired, enroll.ErrTicketSuperseded, enroll.ErrTicketSpent, enroll.ErrTicketExhausted,
		enroll.ErrChallenge, mdm.ErrUnknownIdentity, mdm.ErrForeignCertificate, mdm.ErrNotAuthenticated, mdm.ErrEnded, mdm.ErrSuspended,
		jit.ErrSuspended, jit.ErrUnknownUser, sso.ErrStateUsed, enroll.ErrNoSession, mdm.ErrDeviceLimit, mdm.ErrChannel, mdm.ErrBearer, mdm.ErrPlanNeeded, mdm.ErrUnknownEnrollment,
		enroll.ErrSessionUsed, enroll.ErrAnotherPerson, enroll.ErrGrant, enroll.ErrToken,
	} {
		if errors.Is(err, named) {
			return named.Error()
		}
	}
	if err != nil {
		return "an error that is not named"
	}
	return "no error"
}

func (h *history) user() string         { return oneOf(h, "u1", "u2", "u3") }
func (h *history) enrollmentID() string { return oneOf(h, "E1", "E2", "E3", "E4", "E5", "E6") }

// newcomer goes the whole way.
func (h *history) newcomer() {
	h.Helper()
	h.issue()
	for attempt := 1; attempt == 1 || h.chance(30); attempt++ {
		h.straight = true
		h.download()
		h.identify()
		h.straight = false
		h.authenticate()
	}
	h.tokenUpdate()
}

func (h *history) issue() {
	name := fmt.Sprint("t", len(h.tickets))
	if t, ok := recent(h, h.tickets); ok && h.chance(10) {
		name = t
	} else {
		h.tickets = append(h.tickets, name)
	}
	t := ticketOf(name, h.user(), fmt.Sprint("s", h.rng.IntN(12)))
	t.Issued = h.now
	if h.chance(25) {
		t.Way = mdm.WayDevice
	}
	if h.ways[name] == "" {
		h.ways[name] = t.Way
	}
	var previous [32]byte
	if h.chance(10) {
		previous = id(oneOf(h, "s1", "s2", "s3"))
	}
	h.do(fmt.Sprintf("IssueTicket %s of %s by %s", name, t.UserID, t.Way), func(d Devices) (any, error) {
		return nil, d.IssueTicket(h.ctx, t, previous)
	})
}

func (h *history) download() {
	ticket, ok := recent(h, h.tickets)
	if !ok || h.chance(2) {
		ticket = "t-unknown"
	}
	name := fmt.Sprint("c", len(h.challenges))
	if c, ok := recent(h, h.challenges); ok && h.chance(10) {
		name = c
	} else {
		h.challenges = append(h.challenges, name)
		h.of[name] = ticket
	}
	step := downloadOf(ticket, name, h.now)
	step.MaxDownloads = 4
	h.do(fmt.Sprintf("Download %s %s", ticket, name), func(d Devices) (any, error) { return d.Download(h.ctx, step) })
}

// presented is a challenge with a key.
func (h *history) presented() (challenge, key string, ok bool) {
	challenge, ok = recent(h, h.challenges)
	key = h.keys[challenge]
	if key == "" || h.chance(15) {
		key = oneOf(h, "k1", "k2", "k3")
	}
	return challenge, key, ok
}

func (h *history) lookup() {
	if challenge, key, ok := h.presented(); ok {
		h.do(fmt.Sprintf("Challenge %s %s", challenge, key), func(d Devices) (any, error) {
			der, err := d.Challenge(h.ctx, id(challenge), id(key), h.now)
			return string(der), err
		})
	}
}

func (h *history) identify() {
	challenge, key, ok := h.presented()
	if !ok {
		return
	}
	h.keys[challenge] = key
	step := identifyOf(challenge, key, h.now)
	h.do(fmt.Sprintf("Identify %s %s", challenge, key), func(d Devices) (any, error) {
		der, err := d.Identify(h.ctx, step)
		return string(der), err
	})
	h.certificates = append(h.certificates, device{certificate: step.Digest, udid: h.ways[h.of[challenge]].Mode() == mdm.ModeDevice})
}

// sender is a device, mostly one that may send.
func (h *history) sender() device {
	d, ok := recent(h, h.devices)
	if h.chance(5) {
		d, ok = recent(h, h.certificates)
		d.enrollmentID = h.enrollmentID()
	}
	if !ok || h.chance(1) {
		d.certificate = id("unknown")
	}
	if h.chance(3) {
		d.enrollmentID = oneOf(h, "", h.enrollmentID())
	}
	d.udid = d.udid != h.chance(2)
	return d
}

func (h *history) authenticate() {
	d := h.sender()
	if n := len(h.certificates); n > 0 && h.chance(85) {
		d = h.certificates[n-1-h.rng.IntN(min(n, 2))]
		d.enrollmentID = h.enrollmentID()
	}
	step := authenticateOf(d.certificate, d.enrollmentID, h.now)
	step.Device = d.udid
	step.DeviceLimit = oneOf(h, 0, 0, 1, 2)
	h.do(fmt.Sprintf("Authenticate %x %s", d.certificate[:3], d.enrollmentID), func(s Devices) (any, error) {
		e, err := s.Authenticate(h.ctx, step)
		return withoutContact(e), err
	})
}

// commands are new ones and such as may exist.
func (h *history) commands(enrollmentID, kind string) []mdm.Command {
	var list []mdm.Command
	for range h.rng.IntN(4) {
		c := commandOf(enrollmentID, fmt.Sprint(kind, h.rng.IntN(40)), h.now)
		c.Payload = fmt.Append(nil, "payload ", h.rng.IntN(1000))
		list = append(list, c)
	}
	return list
}

func (h *history) tokenUpdate() {
	from := h.sender()
	step := tokenOf(from.certificate, from.enrollmentID, h.now)
	step.Device = from.udid
	step.Token = fmt.Append(nil, "token ", h.rng.IntN(3))
	if step.Planned = h.chance(80); step.Planned {
		step.Plan = h.commands(from.enrollmentID, "p")
	}
	h.do(fmt.Sprintf("TokenUpdate %x %s planned %v", from.certificate[:3], from.enrollmentID, step.Planned), func(d Devices) (any, error) {
		e, err := d.TokenUpdate(h.ctx, step)
		return withoutContact(e), err
	})
}

func (h *history) checkOut() {
	from := h.sender()
	step := mdm.CheckOutStep{Certificate: from.certificate, EnrollmentID: from.enrollmentID, Device: from.udid, At: h.now}
	h.do(fmt.Sprintf("CheckOut %x %s", from.certificate[:3], from.enrollmentID), func(d Devices) (any, error) {
		e, err := d.CheckOut(h.ctx, step)
		return withoutContact(e), err
	})
}

func (h *history) unenroll() {
	enrollmentID := h.enrollmentID()
	h.do("Unenroll "+enrollmentID, func(d Devices) (any, error) { return nil, d.Unenroll(h.ctx, enrollmentID, h.now) })
}

func (h *history) suspend() {
	user, suspended := h.user(), h.chance(30)
	h.do(fmt.Sprintf("SuspendUser %s %v", user, suspended), func(d Devices) (any, error) { return nil, d.SuspendUser(h.ctx, user, suspended) })
}

func (h *history) enqueue() {
	var list []mdm.Command
	for range 1 + h.rng.IntN(2) {
		list = append(list, h.commands(h.enrollmentID(), "c")...)
	}
	what := "Enqueue"
	for _, c := range list {
		what += " " + c.EnrollmentID + "/" + c.UUID
	}
	h.do(what, func(d Devices) (any, error) { return nil, d.Enqueue(h.ctx, list...) })
}

func (h *history) exchange() {
	from := h.sender()
	step := mdm.ExchangeStep{Certificate: from.certificate, EnrollmentID: from.enrollmentID, Device: from.udid, At: h.now, Idle: h.chance(40)}
	step.NotNowRetry = oneOf(h, 0, 10*time.Minute)
	if !step.Idle {
		step.CommandUUID = h.sent[from.enrollmentID]
		if step.CommandUUID == "" || h.chance(10) {
			step.CommandUUID = fmt.Sprint(oneOf(h, "c", "p"), h.rng.IntN(40))
		}
		if h.chance(10) {
			step.CommandUUID = h.reported
		}
		h.reported = step.CommandUUID
		step.Status = oneOf(h, mdm.CommandAcknowledged, mdm.CommandAcknowledged, mdm.CommandError, mdm.CommandNotNow, mdm.CommandNotNow, mdm.CommandFormatError)
		if step.Status == mdm.CommandFormatError && h.chance(60) {
			step.CommandUUID = ""
		}
		step.Result = fmt.Append(nil, "result ", h.rng.IntN(1000))
	}
	h.do(fmt.Sprintf("Exchange %x %s idle %v report %s %s", from.certificate[:3], from.enrollmentID, step.Idle, step.CommandUUID, step.Status), func(d Devices) (any, error) {
		out, err := d.Exchange(h.ctx, step)
		if err == nil {
			h.sent[from.enrollmentID] = uuid(out.Next)
		}
		return out, err
	})
}

func (h *history) claim() {
	lease := time.Duration(1+h.rng.IntN(5)) * time.Minute
	var both [2][]push.Target
	n := 0
	h.do("ClaimPushes", func(d Devices) (any, error) {
		targets, err := d.ClaimPushes(h.ctx, h.now, lease, 100)
		slices.SortFunc(targets, func(a, b push.Target) int { return strings.Compare(a.EnrollmentID, b.EnrollmentID) })
		both[n] = slices.Clone(targets)
		n++
		return withoutRequests(targets), err
	})
	for i := range both[0] {
		h.claimed = append(h.claimed, claimPair{both[0][i], both[1][i]})
	}
}

func (h *history) settleOne() {
	pair, ok := recent(h, h.claimed)
	if !ok {
		return
	}
	r := push.Result{Status: oneOf(h, 200, 200, 503, 410, 0), At: h.now}
	if r.Status == 503 || r.Status == 0 || h.chance(5) {
		r.Retry = h.now.Add(time.Duration(1+h.rng.IntN(20)) * time.Minute)
	}
	if r.Status == 410 {
		r.Dead = true
		r.DeadAt = oneOf(h, time.Time{}, h.now, h.now.Add(-10*time.Minute), h.now.Add(-24*time.Hour))
	}
	what := fmt.Sprintf("SettlePushes %s attempt %d status %d", pair.ref.EnrollmentID, pair.ref.Attempt, r.Status)
	h.do(what, func(d Devices) (any, error) {
		r := r
		if r.Target = pair.got; d == h.ref {
			r.Target = pair.ref
		}
		return nil, d.SettlePushes(h.ctx, r)
	})
}

func (h *history) read() {
	user, enrollmentID := h.user(), h.enrollmentID()
	h.do("Devices "+user, func(d Devices) (any, error) { return d.Devices(h.ctx, user) })
	h.do("Enrollment "+enrollmentID, func(d Devices) (any, error) {
		e, err := d.Enrollment(h.ctx, enrollmentID)
		return withoutContact(e), err
	})
	if ticket, ok := recent(h, h.tickets); ok {
		h.do("Ticket "+ticket, func(d Devices) (any, error) { return d.Ticket(h.ctx, ticket) })
	}
}
