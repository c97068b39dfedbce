package enroll_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// chunked sends a body without saying how long it is.
func (b *browser) chunked(method, path string, size int) answer {
	b.w.t.Helper()
	r, err := http.NewRequestWithContext(b.w.t.Context(), method, b.w.url+path, struct{ io.Reader }{strings.NewReader("a=" + strings.Repeat("a", size))})
	require.NoError(b.w.t, err)
	r.Header.Set("User-Agent", b.agent)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := b.http.Do(r)
	require.NoError(b.w.t, err)
	resp.Body.Close()
	return answer{resp, ""}
}

// failing lets nobody in.
type failing struct{ err error }

// SignIn implements enroll.Provisioner.
func (f failing) SignIn(context.Context, jit.Identity) (jit.User, bool, error) {
	return jit.User{}, false, f.err
}

// denying lets nobody in for a reason.
type denying struct {
	sso.Authenticator
	reason sso.Reason
}

// Finish implements sso.Authenticator.
func (d denying) Finish(context.Context, sso.Request, []byte, url.Values) (jit.Identity, error) {
	return jit.Identity{}, &sso.DeniedError{Reason: d.reason, Detail: "for the log"}
}

// accounts verifies none.
type accounts struct{ err error }

// VerifyAccount implements enroll.AccountVerifier.
func (a accounts) VerifyAccount(context.Context, string) error { return a.err }

type panicking struct{}

// User implements enroll.Users.
func (panicking) User(context.Context, string) (jit.User, error) { panic("a bug") }

// broken is a store of which one step fails.
type broken struct {
	*memory.Store
	step string
}

func (b *broken) fail(step string) error {
	if b.step == step {
		return errors.New("secret detail")
	}
	return nil
}

// Session implements enroll.SessionStore.
func (b *broken) Session(ctx context.Context, id [32]byte, now time.Time) (enroll.Session, error) {
	if err := b.fail("Session"); err != nil {
		return enroll.Session{}, err
	}
	return b.Store.Session(ctx, id, now)
}

// PutSession implements enroll.SessionStore.
func (b *broken) PutSession(ctx context.Context, s enroll.Session, old [32]byte) error {
	if err := b.fail("PutSession"); err != nil {
		return err
	}
	return b.Store.PutSession(ctx, s, old)
}

// User implements enroll.Users.
func (b *broken) User(ctx context.Context, id string) (jit.User, error) {
	if err := b.fail("User"); err != nil {
		return jit.User{}, err
	}
	return b.Store.User(ctx, id)
}

// Ticket implements enroll.TicketStore.
func (b *broken) Ticket(ctx context.Context, id string) (enroll.Ticket, error) {
	if err := b.fail("Ticket"); err != nil {
		return enroll.Ticket{}, err
	}
	return b.Store.Ticket(ctx, id)
}

// Download implements enroll.TicketStore.
func (b *broken) Download(ctx context.Context, s enroll.DownloadStep) (enroll.Ticket, error) {
	if err := b.fail("Download"); err != nil {
		return enroll.Ticket{}, err
	}
	return b.Store.Download(ctx, s)
}

// IssueTicket implements enroll.TicketStore.
func (b *broken) IssueTicket(ctx context.Context, t enroll.Ticket, previous [32]byte) error {
	if err := b.fail("IssueTicket"); err != nil {
		return err
	}
	return b.Store.IssueTicket(ctx, t, previous)
}

// OpenState implements sso.StateStore.
func (b *broken) OpenState(ctx context.Context, key [32]byte, expires time.Time) error {
	if err := b.fail("OpenState"); err != nil {
		return err
	}
	return b.Store.OpenState(ctx, key, expires)
}

// ConsumeState implements sso.StateStore.
func (b *broken) ConsumeState(ctx context.Context, key [32]byte, now time.Time) error {
	if err := b.fail("ConsumeState"); err != nil {
		return err
	}
	return b.Store.ConsumeState(ctx, key, now)
}

// Challenge implements enroll.TicketStore.
func (b *broken) Challenge(ctx context.Context, challenge, key [32]byte, now time.Time) ([]byte, error) {
	if err := b.fail("Challenge"); err != nil {
		return nil, err
	}
	return b.Store.Challenge(ctx, challenge, key, now)
}

// Identify implements enroll.TicketStore.
func (b *broken) Identify(ctx context.Context, s enroll.IdentifyStep) ([]byte, error) {
	if err := b.fail("Identify"); err != nil {
		return nil, err
	}
	return b.Store.Identify(ctx, s)
}
