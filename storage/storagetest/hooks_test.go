package storagetest_test

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// hooked is a memory store, some of whose steps go wrong. A hook gets the good
// store and what was passed.
type hooked struct {
	*memory.Store
	hooks
}

type hooks struct {
	provision    func(context.Context, *memory.Store, jit.Profile) (jit.User, bool, error)
	user         func(context.Context, *memory.Store, string) (jit.User, error)
	suspend      func(context.Context, *memory.Store, string, bool) error
	openState    func(context.Context, *memory.Store, [32]byte, time.Time) error
	consumeState func(context.Context, *memory.Store, [32]byte, time.Time) error
	putSession   func(context.Context, *memory.Store, enroll.Session, [32]byte) error
	session      func(context.Context, *memory.Store, [32]byte, time.Time) (enroll.Session, error)
	issueTicket  func(context.Context, *memory.Store, enroll.Ticket, [32]byte) error
	ticket       func(context.Context, *memory.Store, string) (enroll.Ticket, error)
	download     func(context.Context, *memory.Store, enroll.DownloadStep) (enroll.Ticket, error)
	challenge    func(context.Context, *memory.Store, [32]byte, [32]byte, time.Time) ([]byte, error)
	identify     func(context.Context, *memory.Store, enroll.IdentifyStep) ([]byte, error)
	devices      func(context.Context, *memory.Store, string) (int, error)
	authenticate func(context.Context, *memory.Store, mdm.AuthenticateStep) (mdm.Enrollment, error)
	tokenUpdate  func(context.Context, *memory.Store, mdm.TokenUpdateStep) (mdm.Enrollment, error)
	checkOut     func(context.Context, *memory.Store, mdm.CheckOutStep) (mdm.Enrollment, error)
	exchange     func(context.Context, *memory.Store, mdm.ExchangeStep) (mdm.Exchanged, error)
	enqueue      func(context.Context, *memory.Store, []mdm.Command) error
	enrollment   func(context.Context, *memory.Store, string) (mdm.Enrollment, error)
	unenroll     func(context.Context, *memory.Store, string, time.Time) error
	suspendUser  func(context.Context, *memory.Store, string, bool) error
	claim        func(context.Context, *memory.Store, time.Time, time.Duration, int) ([]push.Target, error)
	settle       func(context.Context, *memory.Store, []push.Result) error
	state        func(context.Context, *memory.Store) (storage.State, error)
	grant        func(context.Context, *memory.Store, enroll.GrantStep) error
	redeemCode   func(context.Context, *memory.Store, enroll.CodeStep) error
	refresh      func(context.Context, *memory.Store, enroll.RefreshStep) error
	tokenTicket  func(context.Context, *memory.Store, [32]byte, time.Time) (enroll.Ticket, error)
	revokeTokens func(context.Context, *memory.Store, string) error
	prune        func(context.Context, *memory.Store, storage.PruneStep) (int, error)
}

var _ storage.Store = hooked{}

func (h hooked) Provision(ctx context.Context, p jit.Profile) (jit.User, bool, error) {
	if h.provision != nil {
		return h.provision(ctx, h.Store, p)
	}
	return h.Store.Provision(ctx, p)
}

func (h hooked) User(ctx context.Context, id string) (jit.User, error) {
	if h.user != nil {
		return h.user(ctx, h.Store, id)
	}
	return h.Store.User(ctx, id)
}

func (h hooked) Suspend(ctx context.Context, id string, suspended bool) error {
	if h.suspend != nil {
		return h.suspend(ctx, h.Store, id, suspended)
	}
	return h.Store.Suspend(ctx, id, suspended)
}

func (h hooked) OpenState(ctx context.Context, key [32]byte, expires time.Time) error {
	if h.openState != nil {
		return h.openState(ctx, h.Store, key, expires)
	}
	return h.Store.OpenState(ctx, key, expires)
}

func (h hooked) ConsumeState(ctx context.Context, key [32]byte, now time.Time) error {
	if h.consumeState != nil {
		return h.consumeState(ctx, h.Store, key, now)
	}
	return h.Store.ConsumeState(ctx, key, now)
}

func (h hooked) PutSession(ctx context.Context, s enroll.Session, old [32]byte) error {
	if h.putSession != nil {
		return h.putSession(ctx, h.Store, s, old)
	}
	return h.Store.PutSession(ctx, s, old)
}

func (h hooked) Session(ctx context.Context, id [32]byte, now time.Time) (enroll.Session, error) {
	if h.session != nil {
		return h.session(ctx, h.Store, id, now)
	}
	return h.Store.Session(ctx, id, now)
}

func (h hooked) IssueTicket(ctx context.Context, t enroll.Ticket, previous [32]byte) error {
	if h.issueTicket != nil {
		return h.issueTicket(ctx, h.Store, t, previous)
	}
	return h.Store.IssueTicket(ctx, t, previous)
}

func (h hooked) Ticket(ctx context.Context, id string) (enroll.Ticket, error) {
	if h.ticket != nil {
		return h.ticket(ctx, h.Store, id)
	}
	return h.Store.Ticket(ctx, id)
}

func (h hooked) Download(ctx context.Context, s enroll.DownloadStep) (enroll.Ticket, error) {
	if h.download != nil {
		return h.download(ctx, h.Store, s)
	}
	return h.Store.Download(ctx, s)
}

func (h hooked) Challenge(ctx context.Context, challenge, key [32]byte, now time.Time) ([]byte, error) {
	if h.challenge != nil {
		return h.challenge(ctx, h.Store, challenge, key, now)
	}
	return h.Store.Challenge(ctx, challenge, key, now)
}

func (h hooked) Identify(ctx context.Context, s enroll.IdentifyStep) ([]byte, error) {
	if h.identify != nil {
		return h.identify(ctx, h.Store, s)
	}
	return h.Store.Identify(ctx, s)
}

func (h hooked) Devices(ctx context.Context, user string) (int, error) {
	if h.devices != nil {
		return h.devices(ctx, h.Store, user)
	}
	return h.Store.Devices(ctx, user)
}

func (h hooked) Authenticate(ctx context.Context, s mdm.AuthenticateStep) (mdm.Enrollment, error) {
	if h.authenticate != nil {
		return h.authenticate(ctx, h.Store, s)
	}
	return h.Store.Authenticate(ctx, s)
}

func (h hooked) TokenUpdate(ctx context.Context, s mdm.TokenUpdateStep) (mdm.Enrollment, error) {
	if h.tokenUpdate != nil {
		return h.tokenUpdate(ctx, h.Store, s)
	}
	return h.Store.TokenUpdate(ctx, s)
}

func (h hooked) CheckOut(ctx context.Context, s mdm.CheckOutStep) (mdm.Enrollment, error) {
	if h.checkOut != nil {
		return h.checkOut(ctx, h.Store, s)
	}
	return h.Store.CheckOut(ctx, s)
}

func (h hooked) Exchange(ctx context.Context, s mdm.ExchangeStep) (mdm.Exchanged, error) {
	if h.exchange != nil {
		return h.exchange(ctx, h.Store, s)
	}
	return h.Store.Exchange(ctx, s)
}

func (h hooked) Enqueue(ctx context.Context, commands ...mdm.Command) error {
	if h.enqueue != nil {
		return h.enqueue(ctx, h.Store, commands)
	}
	return h.Store.Enqueue(ctx, commands...)
}

func (h hooked) Enrollment(ctx context.Context, id string) (mdm.Enrollment, error) {
	if h.enrollment != nil {
		return h.enrollment(ctx, h.Store, id)
	}
	return h.Store.Enrollment(ctx, id)
}

func (h hooked) Unenroll(ctx context.Context, id string, at time.Time) error {
	if h.unenroll != nil {
		return h.unenroll(ctx, h.Store, id, at)
	}
	return h.Store.Unenroll(ctx, id, at)
}

func (h hooked) SuspendUser(ctx context.Context, user string, suspended bool) error {
	if h.suspendUser != nil {
		return h.suspendUser(ctx, h.Store, user, suspended)
	}
	return h.Store.SuspendUser(ctx, user, suspended)
}

func (h hooked) ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]push.Target, error) {
	if h.claim != nil {
		return h.claim(ctx, h.Store, now, lease, limit)
	}
	return h.Store.ClaimPushes(ctx, now, lease, limit)
}

func (h hooked) SettlePushes(ctx context.Context, results ...push.Result) error {
	if h.settle != nil {
		return h.settle(ctx, h.Store, results)
	}
	return h.Store.SettlePushes(ctx, results...)
}

func (h hooked) State(ctx context.Context) (storage.State, error) {
	if h.state != nil {
		return h.state(ctx, h.Store)
	}
	return h.Store.State(ctx)
}

func (h hooked) Grant(ctx context.Context, s enroll.GrantStep) error {
	if h.grant != nil {
		return h.grant(ctx, h.Store, s)
	}
	return h.Store.Grant(ctx, s)
}

func (h hooked) RedeemCode(ctx context.Context, s enroll.CodeStep) error {
	if h.redeemCode != nil {
		return h.redeemCode(ctx, h.Store, s)
	}
	return h.Store.RedeemCode(ctx, s)
}

func (h hooked) Refresh(ctx context.Context, s enroll.RefreshStep) error {
	if h.refresh != nil {
		return h.refresh(ctx, h.Store, s)
	}
	return h.Store.Refresh(ctx, s)
}

func (h hooked) TokenTicket(ctx context.Context, access [32]byte, now time.Time) (enroll.Ticket, error) {
	if h.tokenTicket != nil {
		return h.tokenTicket(ctx, h.Store, access, now)
	}
	return h.Store.TokenTicket(ctx, access, now)
}

func (h hooked) RevokeTokens(ctx context.Context, enrollmentID string) error {
	if h.revokeTokens != nil {
		return h.revokeTokens(ctx, h.Store, enrollmentID)
	}
	return h.Store.RevokeTokens(ctx, enrollmentID)
}

func (h hooked) Prune(ctx context.Context, p storage.PruneStep) (int, error) {
	if h.prune != nil {
		return h.prune(ctx, h.Store, p)
	}
	return h.Store.Prune(ctx, p)
}
