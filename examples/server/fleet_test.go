package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	ssoextension "github.com/enrollkit/enrollkit/sso/extension"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

var (
	long      = flag.Bool("long", false, "run the three nodes 20 times")
	fleetSeed = flag.Uint64("fleet-seed", 0, "seed of the three nodes' run; 0 is a new one")
)

const (
	fleetNodes  = 3
	fleetPhones = 10
	// trouble is for how long nodes are killed, in which PostgreSQL crashes once.
	trouble = 12 * time.Second
	// patience is for how long a run may take at all, on a slow machine.
	patience = 4 * time.Minute
	// overUUID begins the CommandUUIDs of commands that only pruning is to find.
	overUUID = "over-"
)

// Three nodes on one PostgreSQL, behind a proxy that loses and doubles; nodes are
// killed, PostgreSQL crashes. Nothing that was acknowledged is gone, nothing
// happened twice, every phone gets done.
func TestFleet(t *testing.T) {
	runs := 1
	if *long {
		runs = 20
	}
	for i := range runs {
		seed := *fleetSeed + uint64(i)
		if *fleetSeed == 0 {
			seed = uint64(time.Now().UnixNano())
		}
		t.Run(fmt.Sprintf("run %d", i+1), func(t *testing.T) {
			t.Logf("-fleet-seed=%d", seed)
			newFleet(t, seed).run()
		})
	}
}

type fleet struct {
	*trial
	*ledger
	*dice

	t      *testing.T
	pg     *pgtest.Server
	nodes  []*process
	proxy  *proxy
	store  *postgres.Store // of who queues commands
	server *mdm.Server
	owners []*owner
	kills  int
	over   int // calls of leaveOver
}

func newFleet(t *testing.T, seed uint64) *fleet {
	t.Helper()
	f := &fleet{t: t, ledger: newLedger(), dice: newDice(seed)}
	f.pg = pgtest.StartTest(t, pgtest.Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dsn := schemaIn(t, f.pg.DSN())
	f.trial = newTrial(t, dsn, "https://"+listener.Addr().String(), func(c *config) {
		c.TLS, c.Proxy = pairConfig{}, proxyConfig{Trusted: []string{"127.0.0.1/32"}}
		c.LogLevel = "warn"
		// Nodes prune all the time, and nothing that is counted is over for so long.
		c.Retention = retentionConfig{Keep: duration(storage.MinKeep), Every: duration(50 * time.Millisecond)}
	})
	f.writePolicies()
	for range fleetNodes {
		f.nodes = append(f.nodes, newProcess(t, f.config))
	}
	f.proxy = startProxy(t, f.trial, f.dice, listener, f.nodes)
	for _, n := range f.nodes {
		n.start() // all at once: each of them migrates
	}
	f.awaitNodes()
	f.openQueue(dsn)
	f.countFinals()
	return f
}

// writePolicies adds two profiles for everybody.
func (f *fleet) writePolicies() {
	for _, name := range []string{"one", "two"} {
		p, err := ssoextension.Profile(ssoextension.Config{
			Organization: devOrganization, Identifier: "com.example.trial." + name, DisplayName: name,
		}, ssoextension.Redirect{ExtensionIdentifier: "com.example." + name, URLs: []string{"https://" + name + ".example.com"}})
		require.NoError(f.t, err)
		b, err := p.Marshal()
		require.NoError(f.t, err)
		require.NoError(f.t, os.WriteFile(filepath.Join(f.dir, "policies", name+extension), b, 0o600))
	}
}

func (f *fleet) awaitNodes() {
	f.t.Helper()
	for _, n := range f.nodes {
		require.Eventually(f.t, func() bool { return n.status("/readyz") == 200 }, patience, 50*time.Millisecond, "%s", n.log)
	}
}

// openQueue is how another program of the company queues commands.
func (f *fleet) openQueue(dsn string) {
	n, err := newNode(f.settings, &faults{}, f.quiet())
	require.NoError(f.t, err)
	o := n.options()
	o.DSN, o.Connections = dsn, 4
	f.store, err = postgres.Open(f.t.Context(), o)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, f.store.Close()) })
	f.server, err = mdm.New(mdm.Config{Store: f.store, Identity: n.parts.identities, Topic: n.parts.certificate.Topic()})
	require.NoError(f.t, err)
}

// countFinals makes the database itself count how often a command becomes final,
// and how often what is final is written again.
func (f *fleet) countFinals() {
	f.sql(`CREATE TABLE finals (uuid text NOT NULL);
CREATE FUNCTION note_final() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.status IN ('Acknowledged', 'Error', 'CommandFormatError') OR OLD.status IN ('Acknowledged', 'Error', 'CommandFormatError') THEN
		INSERT INTO finals VALUES (NEW.uuid);
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER note_final AFTER UPDATE ON commands FOR EACH ROW EXECUTE FUNCTION note_final();`)
}

func (f *fleet) sql(text string) {
	f.t.Helper()
	conn, err := pgx.Connect(f.t.Context(), f.settings.Database.DSN)
	require.NoError(f.t, err)
	_, err = conn.Exec(f.t.Context(), text)
	require.NoError(f.t, err)
	require.NoError(f.t, conn.Close(f.t.Context()))
}

// finals is how often each command became final.
func (f *fleet) finals() map[string]int {
	conn, err := pgx.Connect(f.t.Context(), f.settings.Database.DSN)
	require.NoError(f.t, err)
	rows, err := conn.Query(f.t.Context(), "SELECT uuid, count(*) FROM finals GROUP BY uuid")
	require.NoError(f.t, err)
	counts, uuid, n := map[string]int{}, "", 0
	_, err = pgx.ForEachRow(rows, []any{&uuid, &n}, func() error {
		counts[uuid] = n
		return nil
	})
	require.NoError(f.t, err)
	require.NoError(f.t, conn.Close(f.t.Context()))
	return counts
}

// leaveOver leaves in the database what is over for long: abandoned sign-ins, and
// of each enrolled phone commands that it has executed.
func (f *fleet) leaveOver() {
	f.over++
	f.sql(fmt.Sprintf(`INSERT INTO sso_states (key, expires) SELECT decode(md5('%[1]d-' || i), 'hex'), now() - interval '2 hours' FROM generate_series(1, 2000) i;
INSERT INTO commands (enrollment, uuid, request_type, status, queued, updated, payload)
	SELECT e.seq, '%[2]s%[1]d-' || i, 'ProfileList', 'Acknowledged', now() - interval '1 day', now() - interval '1 day', '' FROM enrollments e, generate_series(1, 100) i WHERE e.state = 'enrolled';`, f.over, overUUID))
}

// awaitPruned returns when none of that is left.
func (f *fleet) awaitPruned() {
	f.t.Helper()
	conn, err := pgx.Connect(f.t.Context(), f.settings.Database.DSN)
	require.NoError(f.t, err)
	defer conn.Close(f.t.Context())
	require.Eventually(f.t, func() bool {
		var left int
		require.NoError(f.t, conn.QueryRow(f.t.Context(), `SELECT (SELECT count(*) FROM sso_states WHERE expires < now() - interval '1 hour')
			+ (SELECT count(*) FROM commands WHERE starts_with(uuid, $1))`, overUUID).Scan(&left))
		return left == 0
	}, time.Minute, 50*time.Millisecond, "the nodes do not prune")
}

// newOwner is one of the people: some phones enroll by a profile and some by an
// account, some cannot now, some fail at a command.
func (f *fleet) newOwner(i int) *owner {
	c := mdmtest.Config{OSVersion: "17.6"}
	o := &owner{dice: f.dice, user: []string{"alice@example.com", "bob@example.com"}[i%2], portal: f.settings.BaseURL + "/enroll"}
	if o.account = i%4 > 1; o.account {
		c.OSVersion = "26.1"
	}
	if o.returns = i%3 == 0; o.returns {
		c.NotNow = []string{"InstallProfile", "ProfileList"}
	}
	if i%5 == 0 {
		c.Error = []string{"DeviceInformation"}
	}
	network := f.towards(f.settings.BaseURL[len("https://"):])
	f.t.Cleanup(network.CloseIdleConnections)
	c.Transport = &watched{network, f.ledger, fmt.Sprintf("phone %d", i)}
	o.phone = f.phone(c)
	return o
}

// live is a phone's life: enrolling, then three commands beside those of the
// policy, one after the other.
func (f *fleet) live(ctx context.Context, o *owner, enrolled func()) error {
	if err := o.enroll(ctx); err != nil {
		return err
	}
	id := o.phone.Identity()
	f.note(func() { f.enrollments[id.ID()] = id.Digest() })
	var queuing sync.WaitGroup
	defer queuing.Wait()
	queuing.Go(func() {
		defer enrolled()
		for _, c := range []command.Command{
			command.DeviceInformation{Queries: []string{"OSVersion"}}, command.ProfileList{}, command.DeviceInformation{Queries: []string{"BuildVersion"}},
		} {
			for o.wait(ctx) == nil {
				uuid, err := f.server.Enqueue(ctx, id.ID(), c)
				if err == nil {
					f.note(func() { f.queued[uuid] = id.ID() })
					break
				}
			}
		}
	})
	return o.obey(ctx)
}

// run is the whole test.
func (f *fleet) run() {
	t := f.t
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var living, enrolling sync.WaitGroup
	failed := make(chan error, fleetPhones)
	for i := range fleetPhones {
		o := f.newOwner(i)
		f.owners = append(f.owners, o)
		enrolling.Add(1)
		living.Go(func() {
			once := sync.OnceFunc(enrolling.Done)
			defer once()
			pause(o.between(0, trouble/3))
			if err := f.live(ctx, o, once); err != nil {
				failed <- err
			}
		})
	}
	f.trouble()
	enrolling.Wait()
	f.awaitCommands(ctx)
	cancel()
	living.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	f.proxy.late.Wait()
	f.leaveOver()
	f.awaitPruned()

	state, err := f.store.State(t.Context())
	require.NoError(t, err)
	for _, wrong := range f.compare(state, f.finals()) {
		t.Error(wrong)
	}
	require.Len(t, f.enrollments, fleetPhones)
	require.Len(t, f.queued, 3*fleetPhones)
	attempts := int64(0)
	for _, o := range f.owners {
		attempts += o.attempts.Load()
	}
	t.Logf("%d phones in %d attempts, %d commands, %d results; %d requests and %d answers lost, %d doubled, %d nodes killed, %d times left over and pruned",
		fleetPhones, attempts, len(state.Commands), len(f.results),
		f.proxy.lostRequests.Load(), f.proxy.lostAnswers.Load(), f.proxy.duplicates.Load(), f.kills, f.over)
	require.Positive(t, f.kills)
	for _, n := range f.nodes {
		require.Zero(t, n.stop(), "a node that nobody killed went on through everything")
	}
}

// trouble kills a node every few seconds, and PostgreSQL once.
func (f *fleet) trouble() {
	begun, crashed := time.Now(), false
	for !crashed || time.Since(begun) < trouble {
		pause(f.between(time.Second, 3*time.Second))
		f.leaveOver()
		n := f.nodes[f.n(len(f.nodes))]
		require.NoError(f.t, n.crash())
		f.kills++
		if !crashed && time.Since(begun) > trouble/3 {
			crashed = true
			require.NoError(f.t, f.pg.Crash())
			pause(f.between(0, time.Second))
			require.NoError(f.t, f.pg.Restart(f.t.Context()))
		}
		pause(f.between(0, time.Second))
		n.start()
	}
	f.awaitNodes()
}

// awaitCommands returns when every phone has done what it was told, or patience
// ends.
func (f *fleet) awaitCommands(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := f.store.State(ctx)
		if err == nil {
			open := 0
			live := map[string]bool{}
			for _, e := range state.Enrollments {
				live[e.ID] = e.State == mdm.StateEnrolled
			}
			for _, c := range state.Commands {
				if live[c.EnrollmentID] && !final(c.Status) {
					open++
				}
			}
			if open == 0 {
				return
			}
		}
		select {
		case <-ctx.Done():
			return // what is missing is named by compare
		case <-tick.C:
		}
	}
}
