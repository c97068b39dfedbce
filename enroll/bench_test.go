package enroll_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso"
)

// serve asks the portal without a socket.
func (w *world) serve(path, cookies string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = w.server.Listener.Addr().String()
	r.Header.Set("User-Agent", iPhone17)
	r.Header.Set("Cookie", cookies)
	out := httptest.NewRecorder()
	w.portal.ServeHTTP(out, r)
	return out
}

// knowing is a provider that knows at once who signs in.
type knowing struct {
	sso.Authenticator
	id jit.Identity
}

// Finish implements sso.Authenticator.
func (k knowing) Finish(context.Context, sso.Request, []byte, url.Values) (jit.Identity, error) {
	return k.id, nil
}

// BenchmarkCallback is a sign-in from the provider's redirect to the redirect to
// the runbook: with the provider's token endpoint behind TLS, without it, and
// the floor that both stand on, the check of the ID token's signature.
func BenchmarkCallback(b *testing.B) {
	run := func(b *testing.B, edit ...func(*enroll.Config)) {
		w := newWorld(b, edit...)
		begun := w.browser(iPhone17)
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			back, err := url.Parse(begun.begin("alice@example.com"))
			require.NoError(b, err)
			cookies := signInCookie + "=" + begun.cookies()[signInCookie]
			b.StartTimer()
			if out := w.serve(back.RequestURI(), cookies); out.Code != http.StatusSeeOther {
				b.Fatal(out.Code, out.Body)
			}
		}
	}
	b.Run("whole", func(b *testing.B) { run(b) })
	b.Run("without the provider", func(b *testing.B) {
		run(b, func(c *enroll.Config) {
			c.Authenticator = knowing{c.Authenticator, jit.Identity{Issuer: "https://idp.example.com", Subject: "alice", PreferredUsername: "alice@example.com", Name: "Alice"}}
		})
	})
	b.Run("floor, ES256 verified", func(b *testing.B) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(b, err)
		digest := sha256.Sum256([]byte("token"))
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				b.Fatal("not verified")
			}
		}
	})
}

// BenchmarkProfile is a download, the building and signing alone, and the floor
// that both stand on, the bare signature.
func BenchmarkProfile(b *testing.B) {
	b.Run("downloaded", func(b *testing.B) {
		w := newWorld(b, func(c *enroll.Config) { c.MaxDownloads = 1 << 30 })
		phone := w.browser(iPhone17)
		phone.signIn("alice@example.com")
		cookies := sessionCookie + "=" + phone.cookies()[sessionCookie]
		b.ReportAllocs()
		for b.Loop() {
			if out := w.serve(enroll.DefaultPrefix+"/profile", cookies); out.Code != http.StatusOK {
				b.Fatal(out.Code, out.Body)
			}
		}
	})
	b.Run("built and signed", func(b *testing.B) {
		signer, _ := newSigner(b, time.Now)
		b.ReportAllocs()
		for b.Loop() {
			p, err := profile.UserEnrollment(profile.EnrollmentConfig{
				Organization: "Example Inc.", Identifier: "com.example.enroll", DisplayName: "Work", Description: "Work",
				ServerURL: "https://mdm.example.com/mdm/connect", CheckInURL: "https://mdm.example.com/mdm/checkin", Topic: topic,
				ManagedAppleID: "alice@example.com", SCEP: &profile.SCEPContent{URL: "https://mdm.example.com/scep", Challenge: "c"},
			})
			if err != nil {
				b.Fatal(err)
			}
			plain, err := p.Marshal()
			if err != nil {
				b.Fatal(err)
			}
			if _, err := signer.Sign(plain); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor, ES256 signed", func(b *testing.B) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(b, err)
		digest := sha256.Sum256([]byte("profile"))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
