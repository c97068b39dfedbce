package bench_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // what real devices sign with
	"crypto/sha256"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
)

// floor is what a step cannot do without, each part done bare.
type floor struct {
	signature, parse, transaction func()
}

// beside measures step, and then, in the same run and as often, the parts of its
// floor. Prepare is not measured. The metric "x-floor" is how many times as long
// as the sum of the parts the step takes.
func beside(b *testing.B, f floor, prepare func() (step func())) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		step := prepare()
		b.StartTimer()
		step()
	}
	b.StopTimer()
	whole, sum := float64(b.Elapsed().Nanoseconds())/float64(b.N), 0.0
	for _, part := range []struct {
		name string
		do   func()
	}{{"ns-signature", f.signature}, {"ns-parse", f.parse}, {"ns-transaction", f.transaction}} {
		if part.do == nil {
			continue
		}
		begun := time.Now()
		for range b.N {
			part.do()
		}
		each := float64(time.Since(begun).Nanoseconds()) / float64(b.N)
		sum += each
		b.ReportMetric(each, part.name)
	}
	b.ReportMetric(whole/sum, "x-floor")
}

// checked is the bare check of a signature as real devices make it: RSA of 2048
// bits over SHA-1. Nothing is said of whose key it is.
func checked(b *testing.B, w *world) func() {
	b.Helper()
	digest := sha1.Sum([]byte("body")) // what real devices sign with
	signature, err := rsa.SignPKCS1v15(rand.Reader, w.key, crypto.SHA1, digest[:])
	require.NoError(b, err)
	return func() {
		if err := rsa.VerifyPKCS1v15(&w.key.PublicKey, crypto.SHA1, digest[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}

// parsed is the bare reading of a message.
func parsed(b *testing.B, r request) func() {
	b.Helper()
	return func() {
		var m map[string]any
		if err := plist.Unmarshal(r.body, plist.Limits{}, &m); err != nil {
			b.Fatal(err)
		}
	}
}

// committed is the bare transaction of a store: one row of a file with the
// settings of package sqlite, changed and synced. Memory has none.
func committed(b *testing.B, store string) func() {
	b.Helper()
	if store != "sqlite" {
		return nil
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "floor.db")+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(b.Context(), `CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 0)`)
	require.NoError(b, err)
	update, err := db.PrepareContext(b.Context(), `UPDATE t SET n = n + 1 WHERE id = 1`)
	require.NoError(b, err)
	return func() {
		if _, err := update.ExecContext(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// on runs a benchmark on each store.
func on(b *testing.B, run func(b *testing.B, w *world, transaction func())) {
	b.Helper()
	for _, s := range stores {
		b.Run(s.name, func(b *testing.B) { run(b, newWorld(b, s.open(b)), committed(b, s.name)) })
	}
}

// The way back from the identity provider: state, code for token, checks of the
// token, user, session, ticket. The floor is the check of the token's signature.
func BenchmarkSignInCallback(b *testing.B) {
	on(b, func(b *testing.B, w *world, transaction func()) {
		key, ok := w.signer.(*ecdsa.PrivateKey)
		require.True(b, ok)
		digest := sha256.Sum256([]byte("token"))
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		require.NoError(b, err)
		bare := func() {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				b.Fatal("not verified")
			}
		}
		beside(b, floor{signature: bare, transaction: transaction}, func() func() {
			back, jar := w.begun()
			return func() {
				if rec := w.browse(back, jar); rec.Code != http.StatusSeeOther {
					b.Fatal(rec.Code, rec.Body)
				}
			}
		})
	})
}

// A download: the profile is built, signed (ES256) and counted.
func BenchmarkProfile(b *testing.B) {
	on(b, func(b *testing.B, w *world, transaction func()) {
		digest := sha256.Sum256([]byte("profile"))
		bare := func() {
			if _, err := w.signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
		jar := w.signedIn()
		beside(b, floor{signature: bare, transaction: transaction}, func() func() {
			return func() {
				if rec := w.browse("/enroll/profile", jar); rec.Code != http.StatusOK {
					b.Fatal(rec.Code, rec.Body)
				}
			}
		})
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	on(b, func(b *testing.B, w *world, transaction func()) {
		f := floor{checked(b, w), parsed(b, w.phone().authenticate()), transaction}
		beside(b, f, func() func() {
			r := w.phone().authenticate()
			return func() { w.send(r) }
		})
	})
}

// The first TokenUpdate, which plans and queues the policy of the person's groups.
func BenchmarkTokenUpdate(b *testing.B) {
	on(b, func(b *testing.B, w *world, transaction func()) {
		f := floor{checked(b, w), parsed(b, w.phone().tokenUpdate()), transaction}
		beside(b, f, func() func() {
			p := w.phone()
			w.send(p.authenticate())
			r := p.tokenUpdate()
			return func() { w.send(r) }
		})
	})
}

// enrolled is a phone with an empty queue.
func (w *world) enrolled() phone {
	w.b.Helper()
	p := w.phone()
	w.send(p.authenticate())
	w.send(p.tokenUpdate())
	var sent struct{ CommandUUID string }
	require.NoError(w.b, plist.Unmarshal(w.send(p.idle()), plist.Limits{Bytes: 1 << 20}, &sent))
	require.Empty(w.b, w.send(p.report(sent.CommandUUID)))
	return p
}

// Idle, when nothing waits: nothing is written, so there is no transaction in the
// floor.
func BenchmarkConnectEmpty(b *testing.B) {
	on(b, func(b *testing.B, w *world, _ func()) {
		r := w.enrolled().idle()
		beside(b, floor{signature: checked(b, w), parse: parsed(b, r)}, func() func() {
			return func() {
				if len(w.send(r)) > 0 {
					b.Fatal("a command")
				}
			}
		})
	})
}

// A result is reported and the next command fetched, in one step.
func BenchmarkConnectReportAndNext(b *testing.B) {
	on(b, func(b *testing.B, w *world, transaction func()) {
		p, n := w.enrolled(), 0
		enqueue := func() {
			n++
			uuid := fmt.Sprintf("C%d", n)
			payload, err := command.Encode(uuid, command.DeviceInformation{Queries: []string{"OSVersion", "BuildVersion"}})
			require.NoError(b, err)
			now := time.Now()
			require.NoError(b, w.store.Enqueue(b.Context(), mdm.Command{
				UUID: uuid, EnrollmentID: p.id, RequestType: "DeviceInformation", Payload: payload, Status: mdm.CommandQueued, Queued: now, Updated: now,
			}))
		}
		enqueue()
		w.send(p.idle())
		f := floor{checked(b, w), parsed(b, p.report("C1")), transaction}
		beside(b, f, func() func() {
			r := p.report(fmt.Sprintf("C%d", n))
			enqueue()
			return func() {
				if len(w.send(r)) == 0 {
					b.Fatal("no command")
				}
			}
		})
	})
}
