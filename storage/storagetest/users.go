package storagetest

import (
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// alice is a profile as sign-in makes it.
func alice() jit.Profile {
	return jit.Profile{
		ID: "user-1", Issuer: "https://idp.example.com", Subject: "s-1", DisplayName: "Alice Example",
		ManagedAppleAccount: "alice@example.com", Groups: []string{"byod", "engineering"}, At: start,
	}
}

func userClauses() []clause[jit.Store] {
	return []clause[jit.Store]{
		{name: "first sign-in creates", rule: `The first Provision of (issuer, subject) creates the record with the
			given ID and says created: the portal greets a newcomer by it.`, check: usersCreate},
		{name: "later sign-in refreshes", rule: `A later Provision of the same (issuer, subject) refreshes the record,
			keeps its ID and Created, and is not created.`, check: usersRefresh},
		{name: "issuer and subject are the key", rule: `A person is the pair (issuer, subject), compared byte for byte. The
			same address under another subject, or the same subject of another issuer, is another person: or
			one person could become another.`, check: usersKey},
		{name: "groups are kept when not told", rule: `KeepGroups leaves the groups of a known user as they are and marks
			them stale, and gives a new user none: a provider that cut the list must neither grant nor take away.`, check: usersKeepGroups},
		{name: "suspended stays as it is", rule: `Provision of a suspended user is ErrSuspended and changes nothing.`, check: usersSuspended},
		{name: "suspending repeats", rule: `Suspend sets and lifts; repeating it changes nothing.`, check: usersSuspendRepeats},
		{name: "unknown user", rule: `User and Suspend of an ID that is not there are ErrUnknownUser.`, check: usersUnknown},
		{name: "an ID names one person", rule: `An ID that is another person's is refused, with any error, and nothing
			changes: tickets and enrollments refer to users by ID.`, check: usersIDTaken},
		{name: "values are the caller's", rule: `What was passed may be changed by the caller afterwards, and what was
			returned too; neither changes what is stored.`, check: usersAliasing},
		{name: "times are UTC", rule: timesRule, check: usersTimes},
		{name: "text survives", rule: textRule, check: usersText},
		{name: "concurrent first sign-ins create one", rule: `Of any number of first Provision calls at the same time
			exactly one creates, and all return its record.`, check: usersRace},
		{name: "cancelled call changes nothing", rule: `A call whose context is over returns an error and changes nothing.`, check: usersCancelled},
		{name: "survives reopening", rule: `When Provision or Suspend has returned, the record is there after the process
			ends.`, durable: true, check: usersReopen},
		crashClause("users", userScript(), func() jit.Store { return memory.New() }),
	}
}

const (
	timesRule = `Times come back in UTC, without the monotonic clock, to the microsecond at least: they are compared and
		printed by other nodes.`
	atItsTime = `What is good until a time is over at that time, to the microsecond: nodes must not differ in what they
		take.`
	textRule = `Text comes back byte for byte, up to the sizes that callers send, and names that differ in case, in a
		trailing space or in Unicode normalization are different names.`
)

func usersCreate(w *world[jit.Store]) {
	u, created, err := w.store.Provision(w.Context(), alice())
	w.ok(err, "Provision")
	w.truth(created, "created is false at the first sign-in")
	want := jit.User{
		ID: "user-1", Issuer: "https://idp.example.com", Subject: "s-1", DisplayName: "Alice Example",
		Groups: []string{"byod", "engineering"}, ManagedAppleAccount: "alice@example.com", Created: start, LastSignIn: start,
	}
	w.equal(u, want, "the record returned")
	stored, err := w.store.User(w.Context(), "user-1")
	w.ok(err, "User")
	w.equal(stored, want, "the record stored")
}

func usersRefresh(w *world[jit.Store]) {
	_, _, err := w.store.Provision(w.Context(), alice())
	w.ok(err, "Provision")
	again := alice()
	again.ID, again.DisplayName, again.ManagedAppleAccount = "user-2", "Alice Married", "alice.m@example.com"
	again.Groups, again.At = []string{"engineering", "managers"}, start.Add(time.Hour)
	for range 2 {
		u, created, err := w.store.Provision(w.Context(), again)
		w.ok(err, "Provision again")
		w.truth(!created, "created is true at a later sign-in")
		w.equal(u, jit.User{
			ID: "user-1", Issuer: "https://idp.example.com", Subject: "s-1", DisplayName: "Alice Married",
			Groups: []string{"engineering", "managers"}, ManagedAppleAccount: "alice.m@example.com",
			Created: start, LastSignIn: start.Add(time.Hour),
		}, "the record returned")
	}
	_, err = w.store.User(w.Context(), "user-2")
	w.is(err, jit.ErrUnknownUser, "the ID of a known user's later profile")
	again.Groups = nil
	u, _, err := w.store.Provision(w.Context(), again)
	w.ok(err, "Provision without groups")
	w.equal(u.Groups, []string{}, "groups of a person who has none any more")
}

func usersKey(w *world[jit.Store]) {
	first, _, err := w.store.Provision(w.Context(), alice())
	w.ok(err, "Provision")
	others := map[string]func(*jit.Profile){
		"another subject": func(p *jit.Profile) { p.Subject = "s-2" },
		"another issuer":  func(p *jit.Profile) { p.Issuer = "https://other.example.com" },
		"case of subject": func(p *jit.Profile) { p.Subject = "S-1" },
		"trailing space":  func(p *jit.Profile) { p.Subject = "s-1 " },
		"case of issuer":  func(p *jit.Profile) { p.Issuer = "https://IDP.example.com" },
		"shifted border":  func(p *jit.Profile) { p.Issuer, p.Subject = "https://idp.example.coms", "-1" },
	}
	for what, change := range others {
		p := alice()
		p.ID = "user-of-" + what
		change(&p)
		u, created, err := w.store.Provision(w.Context(), p)
		w.ok(err, what)
		w.truth(created && u.ID == p.ID, "%s: taken for a known person", what)
	}
	u, err := w.store.User(w.Context(), "user-1")
	w.ok(err, "User")
	w.equal(u, first, "the first person's record")
}

func usersKeepGroups(w *world[jit.Store]) {
	p := alice()
	_, _, err := w.store.Provision(w.Context(), p)
	w.ok(err, "Provision")
	p.Groups, p.KeepGroups = []string{"part"}, true
	u, _, err := w.store.Provision(w.Context(), p)
	w.ok(err, "Provision that keeps groups")
	w.equal(u.Groups, []string{"byod", "engineering"}, "groups of a known user")
	w.truth(u.GroupsStale, "groups that were not told are not marked stale")
	p.Groups, p.KeepGroups = []string{"new"}, false
	u, _, err = w.store.Provision(w.Context(), p)
	w.ok(err, "Provision with groups")
	w.equal(u.Groups, []string{"new"}, "groups told in full")
	w.truth(!u.GroupsStale, "groups that were told are marked stale")
	newcomer := alice()
	newcomer.ID, newcomer.Subject, newcomer.KeepGroups = "user-2", "s-2", true
	u, _, err = w.store.Provision(w.Context(), newcomer)
	w.ok(err, "Provision of a newcomer that keeps groups")
	w.equal(u.Groups, []string{}, "groups of a newcomer whose groups were not told")
	w.truth(u.GroupsStale, "groups that were not told are not marked stale")
}

func usersSuspended(w *world[jit.Store]) {
	_, _, err := w.store.Provision(w.Context(), alice())
	w.ok(err, "Provision")
	w.ok(w.store.Suspend(w.Context(), "user-1", true), "Suspend")
	before, err := w.store.User(w.Context(), "user-1")
	w.ok(err, "User")
	w.truth(before.Suspended, "the record does not say that the user is suspended")
	later := alice()
	later.DisplayName, later.Groups, later.At = "Mallory", []string{"admins"}, start.Add(time.Hour)
	for range 2 {
		_, created, err := w.store.Provision(w.Context(), later)
		w.is(err, jit.ErrSuspended, "Provision of a suspended user")
		w.truth(!created, "created is true for a suspended user")
	}
	after, err := w.store.User(w.Context(), "user-1")
	w.ok(err, "User")
	w.equal(after, before, "the suspended user's record")
	w.ok(w.store.Suspend(w.Context(), "user-1", false), "lifting the suspension")
	_, _, err = w.store.Provision(w.Context(), later)
	w.ok(err, "Provision after the suspension")
}

func usersSuspendRepeats(w *world[jit.Store]) {
	_, _, err := w.store.Provision(w.Context(), alice())
	w.ok(err, "Provision")
	for _, suspended := range []bool{true, true, false, false} {
		w.ok(w.store.Suspend(w.Context(), "user-1", suspended), "Suspend")
		u, err := w.store.User(w.Context(), "user-1")
		w.ok(err, "User")
		w.equal(u.Suspended, suspended, "Suspended")
		w.equal(u.LastSignIn, start, "LastSignIn")
	}
}

func usersUnknown(w *world[jit.Store]) {
	_, err := w.store.User(w.Context(), "nobody")
	w.is(err, jit.ErrUnknownUser, "User")
	w.is(w.store.Suspend(w.Context(), "nobody", true), jit.ErrUnknownUser, "Suspend")
	w.is(w.store.Suspend(w.Context(), "nobody", false), jit.ErrUnknownUser, "lifting a suspension")
	_, err = w.store.User(w.Context(), "nobody")
	w.is(err, jit.ErrUnknownUser, "User after Suspend")
}

func usersIDTaken(w *world[jit.Store]) {
	first, _, err := w.store.Provision(w.Context(), alice())
	w.ok(err, "Provision")
	other := alice()
	other.Subject, other.DisplayName = "s-2", "Bob"
	_, _, err = w.store.Provision(w.Context(), other)
	w.truth(err != nil, "a second person was given the ID of the first")
	u, err := w.store.User(w.Context(), "user-1")
	w.ok(err, "User")
	w.equal(u, first, "the first person's record")
}

func usersAliasing(w *world[jit.Store]) {
	p := alice()
	returned, _, err := w.store.Provision(w.Context(), p)
	w.ok(err, "Provision")
	p.Groups[0] = "admins"
	returned.Groups[0] = "admins"
	read, err := w.store.User(w.Context(), "user-1")
	w.ok(err, "User")
	w.equal(read.Groups, []string{"byod", "engineering"}, "groups, after the caller changed its slices")
	read.Groups[0] = "admins"
	read, err = w.store.User(w.Context(), "user-1")
	w.ok(err, "User")
	w.equal(read.Groups, []string{"byod", "engineering"}, "groups, after the caller changed what it had read")
}

func usersTimes(w *world[jit.Store]) {
	for i, at := range oddTimes() {
		p := alice()
		p.ID, p.Subject, p.At = "user-"+string(rune('a'+i)), "s-"+string(rune('a'+i)), at
		_, _, err := w.store.Provision(w.Context(), p)
		w.ok(err, "Provision")
		u, err := w.store.User(w.Context(), p.ID)
		w.ok(err, "User")
		w.sameTime(u.Created, at, "Created")
		w.sameTime(u.LastSignIn, at, "LastSignIn")
	}
}

func usersText(w *world[jit.Store]) {
	for i, s := range oddTexts(64) {
		p := alice()
		p.ID, p.Subject = "user-"+string(rune('A'+i)), "sub "+s
		p.DisplayName, p.ManagedAppleAccount, p.Groups = s, s+"@example.com", []string{s, "[\"" + s + "\"]"}
		_, created, err := w.store.Provision(w.Context(), p)
		w.ok(err, "Provision")
		w.truth(created, "%q was taken for another subject", p.Subject)
		u, err := w.store.User(w.Context(), p.ID)
		w.ok(err, "User")
		w.equal([]string{u.Subject, u.DisplayName, u.ManagedAppleAccount}, []string{p.Subject, p.DisplayName, p.ManagedAppleAccount}, "text")
		w.equal(u.Groups, p.Groups, "groups")
	}
	p := alice()
	p.ID, p.Issuer, p.Subject = strings.Repeat("i", 36), strings.Repeat("ß", 256), strings.Repeat("x", 255)
	p.DisplayName, p.ManagedAppleAccount = strings.Repeat("😀", 256), strings.Repeat("字", 255)+"@"
	p.Groups = nil
	for i := range 1000 {
		p.Groups = append(p.Groups, strings.Repeat("ü", 255)+string(rune('一'+i)))
	}
	_, _, err := w.store.Provision(w.Context(), p)
	w.ok(err, "Provision at the limits: an ID of 36 bytes, an issuer of 512, a subject of 255, texts of 256 characters, 1000 groups of 256")
	u, err := w.store.User(w.Context(), p.ID)
	w.ok(err, "User")
	w.truth(u.Issuer == p.Issuer && u.Subject == p.Subject && u.DisplayName == p.DisplayName &&
		u.ManagedAppleAccount == p.ManagedAppleAccount && slices.Equal(u.Groups, p.Groups), "a record at the limits came back changed")
	for what, change := range map[string]func(*jit.Profile){
		"subject": func(p *jit.Profile) { p.Subject = p.Subject[:254] + "y" },
		"issuer":  func(p *jit.Profile) { p.Issuer = p.Issuer[:510] + "ü" },
		"ID":      func(p *jit.Profile) { p.Subject = "another" },
	} {
		other := p
		other.ID = p.ID[:36-len(what)] + what
		change(&other)
		_, created, err := w.store.Provision(w.Context(), other)
		w.ok(err, "Provision at the limits")
		w.truth(created, "a person whose %s differs in its last character was taken for another", what)
	}
}

func usersRace(w *world[jit.Store]) {
	nodes := []jit.Store{w.store, w.second()}
	for round := range 8 {
		subject := "racer-" + string(rune('a'+round))
		users := make([]jit.User, 8)
		created := make([]bool, 8)
		w.race(8, func(i int) error {
			p := alice()
			p.ID, p.Subject = subject+string(rune('0'+i)), subject
			var err error
			users[i], created[i], err = nodes[i%2].Provision(w.Context(), p)
			return err
		})
		n := 0
		for i, u := range users {
			if created[i] {
				n++
			}
			w.equal(u.ID, users[0].ID, "the ID that another call returned")
		}
		w.equal(n, 1, "how many calls created the record")
	}
}

func usersCancelled(w *world[jit.Store]) {
	_, _, err := w.store.Provision(w.Context(), alice())
	w.ok(err, "Provision")
	gone := w.gone()
	p := alice()
	p.DisplayName = "Mallory"
	_, _, err = w.store.Provision(gone, p)
	w.truth(err != nil, "Provision succeeds when its context is over")
	w.truth(w.store.Suspend(gone, "user-1", true) != nil, "Suspend succeeds when its context is over")
	u, err := w.store.User(w.Context(), "user-1")
	w.ok(err, "User")
	w.truth(u.DisplayName == "Alice Example" && !u.Suspended, "a call whose context was over changed the record")
	_, err = w.store.User(gone, "user-1")
	w.truth(err != nil, "User succeeds when its context is over")
}

func usersReopen(w *world[jit.Store]) {
	_, _, err := w.store.Provision(w.Context(), alice())
	w.ok(err, "Provision")
	w.ok(w.store.Suspend(w.Context(), "user-1", true), "Suspend")
	before, err := w.store.User(w.Context(), "user-1")
	w.ok(err, "User")
	w.reopen()
	after, err := w.store.User(w.Context(), "user-1")
	w.ok(err, "User after reopening")
	w.equal(after, before, "the record after reopening")
}
