package enroll_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// issuer issues identities and counts them.
type issuer struct {
	ca     *ca.CA
	issued atomic.Int32
	err    error
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	authority, err := authority()
	require.NoError(t, err)
	return &issuer{ca: authority}
}

func (i *issuer) issue(ctx context.Context) (*x509.Certificate, error) {
	if i.err != nil {
		return nil, i.err
	}
	i.issued.Add(1)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return i.ca.Issue(ctx, key.Public())
}

// challenge is that of the profile which a browser downloads.
func (b *browser) challenge() string {
	b.w.t.Helper()
	var top struct {
		PayloadContent []struct {
			PayloadType    string
			PayloadContent struct {
				Challenge string
			} `plist:",omitempty"`
		}
	}
	require.NoError(b.w.t, plist.Unmarshal(b.download(), plist.Limits{Bytes: 1 << 20, Depth: 16, Elements: 5000}, &top))
	require.NotEmpty(b.w.t, top.PayloadContent[0].PayloadContent.Challenge)
	return top.PayloadContent[0].PayloadContent.Challenge
}

func key(name string) [32]byte { return sha256.Sum256([]byte(name)) }

func TestRedeem(t *testing.T) {
	w := newWorld(t)
	devices := newIssuer(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	first, second := b.challenge(), b.challenge()
	require.NotEqual(t, first, second, "each download has its own")
	redeem := func(challenge, of string) (*x509.Certificate, error) {
		return w.portal.Redeem(t.Context(), challenge, key(of), devices.issue)
	}
	w.unchanged(func() {
		for _, challenge := range []string{"", "x", first + "x"} {
			_, err := redeem(challenge, "k1")
			require.ErrorIs(t, err, scep.ErrRefused)
		}
		require.Zero(t, devices.issued.Load(), "nothing is issued for nothing")
	})
	cert, err := redeem(first, "k1")
	require.NoError(t, err)
	require.Equal(t, enroll.TicketIdentified, w.state().Tickets[0].State)
	w.unchanged(func() {
		again, err := redeem(first, "k1")
		require.NoError(t, err)
		require.Equal(t, cert.Raw, again.Raw, "the same key gets the same certificate")
		_, err = redeem(first, "k2")
		require.ErrorIs(t, err, scep.ErrRefused)
		require.EqualValues(t, 1, devices.issued.Load())
	})
	t.Run("a later download voids an earlier one", func(t *testing.T) {
		_, err := redeem(second, "k2")
		require.NoError(t, err)
		w.unchanged(func() {
			_, err = redeem(first, "k1")
			require.ErrorIs(t, err, scep.ErrRefused)
		})
	})
	t.Run("for as long as window and grace", func(t *testing.T) {
		third := b.challenge()
		w.clock.add(enroll.DefaultWindow + enroll.DefaultGrace)
		w.unchanged(func() {
			_, err := redeem(third, "k3")
			require.ErrorIs(t, err, scep.ErrRefused)
		})
		fourth := b.challenge()
		w.clock.add(enroll.DefaultWindow + enroll.DefaultGrace - time.Second)
		_, err := redeem(fourth, "k4")
		require.NoError(t, err)
	})
	t.Run("not after a later sign-in", func(t *testing.T) {
		fifth := b.challenge()
		b.signIn("alice@example.com")
		w.unchanged(func() {
			_, err := redeem(fifth, "k5")
			require.ErrorIs(t, err, scep.ErrRefused)
		})
	})
}

func TestRedeemByManyKeys(t *testing.T) {
	w := newWorld(t)
	devices := newIssuer(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	challenge := b.challenge()
	certs := make([][]byte, 100)
	var all sync.WaitGroup
	for i := range certs {
		all.Go(func() {
			// 50 keys, each of them twice.
			cert, err := w.portal.Redeem(t.Context(), challenge, key(string(rune('a'+i/2))), devices.issue)
			if err == nil {
				certs[i] = cert.Raw
			} else if !errors.Is(err, scep.ErrRefused) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got := map[string]int{}
	for _, c := range certs {
		if c != nil {
			got[string(c)]++
		}
	}
	require.Len(t, got, 1, "one certificate")
	for _, n := range got {
		require.Equal(t, 2, n, "for one key, however often it asks")
	}
}

func TestRedeemThatBreaks(t *testing.T) {
	store := &broken{}
	w := newWorld(t, func(c *enroll.Config) {
		store.Store = c.Tickets.(*memory.Store)
		c.Tickets = store
	})
	devices := newIssuer(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	challenge := b.challenge()
	w.unchanged(func() {
		for _, step := range []string{"Challenge", "Identify"} {
			store.step = step
			_, err := w.portal.Redeem(t.Context(), challenge, key("k"), devices.issue)
			require.Error(t, err)
			require.NotErrorIs(t, err, scep.ErrRefused, "the device may try again")
		}
		store.step = ""
		devices.err = errors.New("HSM is gone")
		_, err := w.portal.Redeem(t.Context(), challenge, key("k"), devices.issue)
		require.ErrorIs(t, err, devices.err)
	})
	devices.err = nil
	_, err := w.portal.Redeem(t.Context(), challenge, key("k"), devices.issue)
	require.NoError(t, err)
}
